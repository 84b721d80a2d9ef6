"""A small server that stock CARLA 0.9.16 clients can drive in: `python -m minicarla --help`."""

__version__ = "0.1.0"
