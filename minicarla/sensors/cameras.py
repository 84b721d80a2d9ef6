"""The renderer's life: made with the town, fed once a tick, kept as long as the town stays."""

from typing import TYPE_CHECKING

from minicarla.maps import Pose, Town
from minicarla.render import CameraKind, Renderer, VisualActor
from minicarla.world.actors import Prop, Vehicle, Walker

if TYPE_CHECKING:
    from minicarla.world.state import World

__all__ = ["CameraKind", "Studio"]
_WALKER_CLOTHES = ((60, 70, 110), (120, 60, 50), (70, 100, 70), (150, 140, 120), (50, 50, 55))
_PROP_COLOUR = (230, 110, 30)


class Studio:
    """Pictures of the current town.

    The renderer is made at once: where its kernels are not compiled yet that takes seconds, and a server may take them
    before it is ready, but not within a client's call.
    """

    def __init__(self, town: Town) -> None:
        self._town = town
        self._renderer = Renderer(town)
        self._shown: tuple[int, int] | None = None  # episode and frame of what the renderer has been fed

    def enter(self, town: Town) -> None:
        """Go over to a town; staying in the same one costs nothing."""
        self._shown = None
        if town is not self._town:
            renderer = Renderer(town)  # if that fails, the old one stays
            self._renderer.close()
            self._town, self._renderer = town, renderer

    def add_camera(self, kind: CameraKind, width: int, height: int, fov_deg: float) -> int:
        """A new camera's handle."""
        return self._renderer.add_camera(kind, width, height, fov_deg)

    def remove_camera(self, camera: int) -> None:
        """Forget a camera."""
        self._renderer.remove_camera(camera)

    def picture(self, world: "World", camera: int, pose: Pose) -> bytes:
        """BGRA rows of what the camera sees from `pose` in the world as it is now."""
        if self._shown != (world.episode, world.frame):
            self._shown = (world.episode, world.frame)
            self._renderer.update(_visible(world), world.weather, world.lights.states())
        return self._renderer.render(camera, pose)


def _visible(world: "World") -> list[VisualActor]:
    vehicles = [_visual(vehicle, vehicle.colour) for vehicle in world.vehicles]
    walkers = [_visual(walker, _WALKER_CLOTHES[walker.id % len(_WALKER_CLOTHES)]) for walker in world.walkers]
    return vehicles + walkers + [_visual(prop, _PROP_COLOUR) for prop in world.props]


def _visual(actor: Vehicle | Walker | Prop, colour: tuple[int, int, int]) -> VisualActor:
    return VisualActor(actor.id, actor.type_id, actor.pose, actor.extent, colour)
