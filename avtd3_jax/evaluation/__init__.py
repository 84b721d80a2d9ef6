"""Driving a policy without noise, measuring it, and showing it."""
