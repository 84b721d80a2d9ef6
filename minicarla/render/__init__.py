"""Off-screen cameras for minicarla, rendered in software, and rays: no display, no GPU, no system library."""

from minicarla.render.actors import VisualActor
from minicarla.render.flow import Moment
from minicarla.render.raycaster import Fan, RayCaster
from minicarla.render.renderer import FOV_DEG, CameraKind, Renderer
from minicarla.render.stage import Stage
from minicarla.render.weather import Weather

__all__ = ["FOV_DEG", "CameraKind", "Fan", "Moment", "RayCaster", "Renderer", "Stage", "VisualActor", "Weather"]
