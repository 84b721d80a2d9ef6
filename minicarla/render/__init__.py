"""Off-screen cameras for minicarla, rendered in software: no display, no GPU, no system library."""

from minicarla.render.actors import VisualActor
from minicarla.render.renderer import CameraKind, Renderer
from minicarla.render.weather import Weather

__all__ = ["CameraKind", "Renderer", "VisualActor", "Weather"]
