"""What cameras and rays see of the simulation: one stage for all of them, fed once a tick."""

import numpy as np
from numba import njit

from minicarla.maps import Pose, Town
from minicarla.numba_cache import CACHE
from minicarla.physics.rows import BODIES
from minicarla.render import CameraKind, Moment, RayCaster, Renderer, Stage, VisualActor
from minicarla.render.environment import environment_objects
from minicarla.world.actors import Prop, Vehicle, Walker
from minicarla.world.roster import Roster
from minicarla.world.state import SimulationState

_WALKER_CLOTHES = ((60, 70, 110), (120, 60, 50), (70, 100, 70), (150, 140, 120), (50, 50, 55))
_PROP_COLOUR = (230, 110, 30)


class SceneView:
    """The current town, seen by all cameras and rays.

    Renderer and caster are made at once: where their kernels are not compiled yet that takes seconds, and a server may
    take them before it is ready, but not within a client's call, which often waits for two seconds and no more.
    """

    def __init__(self, town: Town) -> None:
        self._town = town
        self._renderer = Renderer(town)
        self._prepared: tuple[Town, Renderer] | None = None
        self.caster = RayCaster(self._renderer.stage)
        _places(np.zeros(0, BODIES), np.zeros(0, np.int64))
        self._hidden: frozenset[int] = frozenset()  # numbers of the environment objects that are left out
        self._roster: Roster | None = None  # whose actors follow
        self._actors: list[VisualActor] = []
        self._shown: tuple[int, int] | None = None  # episode and frame of what the stage has been fed

    def prepare(self, town: Town) -> None:
        """Make a town's renderer for the `load` to come; a thread may call it."""
        if town is not self._town:
            self._prepared = (town, Renderer(town))

    def load(self, town: Town) -> None:
        """Go over to a town; staying in the same one costs nothing."""
        self._shown = None
        if town is not self._town:
            prepared = self._prepared
            # If that fails, the old one stays.
            renderer = prepared[1] if prepared is not None and prepared[0] is town else Renderer(town)
            self._renderer.close()
            self._town, self._renderer, self._prepared = town, renderer, None
            self.caster = RayCaster(renderer.stage)
            self._hidden = frozenset()

    def add_camera(self, kind: CameraKind, width: int, height: int, fov_deg: float) -> int:
        """A new camera's handle."""
        return self._renderer.add_camera(kind, width, height, fov_deg)

    def remove_camera(self, camera: int) -> None:
        """Forget a camera."""
        self._renderer.remove_camera(camera)

    def picture(self, state: SimulationState, camera: int, pose: Pose) -> bytes:
        """BGRA rows of what the camera sees from `pose` in the simulation as it is now."""
        self.stage(state)
        return self._renderer.render(camera, pose)

    def optical_flow(
        self, state: SimulationState, camera: int, pose: Pose, since: Moment | None
    ) -> tuple[bytes, Moment]:
        """As `Renderer.optical_flow`, in the simulation as it is now."""
        self.stage(state)
        return self._renderer.optical_flow(camera, pose, since)

    def stage(self, state: SimulationState) -> Stage:
        """The simulation as it is now."""
        if self._shown != (state.episode, state.frame):
            self._shown = (state.episode, state.frame)
            roster = state.roster
            if self._roster is not roster:
                self._roster, self._actors = roster, _visible(state)
            places = _places(state.rows.bodies, roster.seen)
            self._renderer.update(self._actors, places, state.weather, state.lights.states())
        if self._hidden != state.hidden:
            self._hidden = state.hidden
            things = environment_objects(self._town)
            self._renderer.hide([things[number] for number in sorted(state.hidden)])
        return self._renderer.stage


def _visible(state: SimulationState) -> list[VisualActor]:
    vehicles = [_visual(vehicle, vehicle.colour) for vehicle in state.vehicles]
    walkers = [_visual(walker, _WALKER_CLOTHES[walker.id % len(_WALKER_CLOTHES)]) for walker in state.walkers]
    return vehicles + walkers + [_visual(prop, _PROP_COLOUR) for prop in state.props]


def _visual(actor: Vehicle | Walker | Prop, colour: tuple[int, int, int]) -> VisualActor:
    return VisualActor(actor.id, actor.type_id, actor.extent, colour)


@njit(cache=CACHE)
def _places(rows: np.ndarray, which: np.ndarray) -> np.ndarray:
    """[A, 6] x, y, z, pitch, yaw, roll. rows: of type `rows.BODIES`; which: [A] int64, their numbers."""
    places = np.empty((which.size, 6))
    for number, row in enumerate(which):
        state, place = rows[row].state, places[number]
        place[0], place[1], place[2] = state.x, state.y, state.z
        place[3], place[4], place[5] = state.pitch, state.yaw, state.roll
    return places
