"""CARLA's own tests, examples and agents, run unmodified against minicarla."""
