"""Off-screen cameras for minicarla, rendered in software: no display, no GPU, no system library."""

from envloop.minicarla.render.actors import VisualActor
from envloop.minicarla.render.renderer import CameraKind, Renderer
from envloop.minicarla.render.weather import Weather

__all__ = ["CameraKind", "Renderer", "VisualActor", "Weather"]
