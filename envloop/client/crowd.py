"""The pedestrians of an episode, led by the crowd that the `carla` client simulates by itself.

Its walkers move with the ticks of its own client, so they live in the process that makes them (traffic_process.py). The
order of spawning, starting and stopping is that of CARLA's generate_traffic.py.
"""

import math
from collections.abc import Callable, Sequence

import carla
import numpy as np

_ROUNDS = 20  # of places tried, where walkers stand in each other's way
_PASSING_M = 25.0  # of both ends of a passer-by's walk from the route
_CHOICES = 12  # of places near the route, of which a passer-by's walk ends at one
_DRAWS = 200  # of such a place, until the route is held to have no pavement
_WALKING = 1  # of a model's recommended speeds: standing, walking, running


class Crowd:
    """Walkers and the controllers that lead them, of one client.

    Methods call the simulator; the caller turns the client's errors into its own.
    """

    def __init__(self, client: carla.Client, world: carla.World, role_name: str) -> None:
        self._client = client
        self._world = world
        self._role_name = role_name
        library = world.get_blueprint_library()
        self._models = sorted(library.filter("walker.pedestrian.*"), key=lambda model: model.id)
        self._mind = library.find("controller.ai.walker")
        self._walkers: list[int] = []
        self._controllers: list[int] = []
        self._passing: set[int] = set()
        self._route = np.empty((0, 2))

    def spawn(
        self,
        count: int,
        seed: int,
        rng: np.random.Generator,
        clear: tuple[float, float, float],
        passers_by: int = 0,
        route: Sequence[tuple[float, float]] = (),
    ) -> int:
        """Spawns walkers on the map's pavements and their controllers; how many there are.

        Args:
          count: how many are wanted; there are fewer where the map has no pavement, or no room.
          seed: of the client's crowd: places and ways.
          rng: draws models.
          clear: x, y (m) of a place, and its distance (m) from all walkers.
          passers_by: how many more begin near the `route` and walk first to its other side.
          route: x, y (m) of points of it.
        """
        self._world.set_pedestrians_seed(seed)
        self._world.set_pedestrians_cross_factor(0.0)
        self._route = np.array(route, float).reshape(-1, 2)
        self._walkers = self._placed(count, rng, clear, self._anywhere)
        others = len(self._walkers)
        self._walkers += self._placed(passers_by, rng, clear, self._near_the_route)
        self._controllers = self._spawned(
            [carla.command.SpawnActor(self._mind, carla.Transform(), walker) for walker in self._walkers]
        )
        self._passing = set(self._controllers[others:])
        return len(self._walkers)

    def start(self) -> None:
        """Sends them on their way, each to places of its own; a tick must have shown them to this client."""
        for controller in self._world.get_actors(self._controllers):
            controller.start()
            passes = controller.id in self._passing
            across = self._across_the_route(controller.parent.get_location()) if passes else None
            controller.go_to_location(across or self._anywhere())
            controller.set_max_speed(self._speed)

    def clear(self) -> None:
        """Removes them; the next tick shows the world without them."""
        if not self._walkers:
            return
        for controller in self._world.get_actors(self._controllers):
            controller.stop()
        actors = [*self._controllers, *self._walkers]
        self._client.apply_batch_sync([carla.command.DestroyActor(actor) for actor in actors], False)
        self._walkers, self._controllers = [], []

    def _placed(
        self,
        count: int,
        rng: np.random.Generator,
        clear: tuple[float, float, float],
        place_of: Callable[[], carla.Location | None],
    ) -> list[int]:
        walkers: list[int] = []
        for _ in range(_ROUNDS):
            missing = count - len(walkers)
            if not missing:
                break
            places = [place_of() for _ in range(missing)]
            walkers += self._spawned(
                [
                    carla.command.SpawnActor(self._model(rng), carla.Transform(place))
                    for place in places
                    if place is not None and math.hypot(place.x - clear[0], place.y - clear[1]) >= clear[2]
                ]
            )
        return walkers

    def _anywhere(self) -> carla.Location | None:
        """A place on the pavements; None where the map has none."""
        return self._world.get_random_location_from_navigation()

    def _near_the_route(self) -> carla.Location | None:
        """One within `_PASSING_M` of the route, where the draws find one."""
        for _ in range(_DRAWS):
            place = self._anywhere()
            if place is None:
                return None
            if np.hypot(*(self._route - (place.x, place.y)).T).min() <= _PASSING_M:
                return place
        return None

    def _across_the_route(self, begin: carla.Location) -> carla.Location | None:
        """The nearest to `begin` of some places beside the route, on its other side; None where no draw finds one."""
        side = self._side(begin)
        places = [place for place in (self._near_the_route() for _ in range(_CHOICES)) if place is not None]
        other = [place for place in places if self._side(place) * side < 0.0]
        return min(other, key=begin.distance, default=None)

    def _side(self, place: carla.Location) -> float:
        """Positive right of the route, negative left of it."""
        offsets = (place.x, place.y) - self._route
        nearest = np.hypot(*offsets.T)[:-1].argmin()
        along = self._route[nearest + 1] - self._route[nearest]
        return float(along[0] * offsets[nearest, 1] - along[1] * offsets[nearest, 0])

    @property
    def _speed(self) -> float:
        """m/s, of a walk."""
        speeds = self._models[0].get_attribute("speed").recommended_values
        return float(speeds[_WALKING])

    def _model(self, rng: np.random.Generator) -> carla.ActorBlueprint:
        model = self._models[rng.integers(len(self._models))]
        model.set_attribute("role_name", self._role_name)
        if model.has_attribute("is_invincible"):
            model.set_attribute("is_invincible", "false")
        return model

    def _spawned(self, batch: list[carla.command.SpawnActor]) -> list[int]:
        responses = self._client.apply_batch_sync(batch, False)
        return [response.actor_id for response in responses if not response.has_error()]
