"""Asks a CARLA, or minicarla, for what the driving task relies on: one line each, with what was measured."""
