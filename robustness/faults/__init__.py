"""Faults injected for real into real trainings: what survives, what is lost, how long it takes."""
