"""The town and what moves in it as faces: what cameras and rays see. Fed once a tick."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from minicarla.maps import Town
from minicarla.render import shading
from minicarla.render.actors import ActorArrays, MeshLibrary, VisualActor, pack_actors, to_world
from minicarla.render.environment import EnvironmentObject, faces_of
from minicarla.render.scene import build_scene, lit_colours, states_array
from minicarla.render.sky import light_scalars, sky_dome, sky_picture
from minicarla.render.weather import Weather, light_from_weather

_BEHIND_EVERYTHING_M = 1e30  # offset of a plane that nothing is in front of


class Stage:
    """Faces of the town, then those of the actors, which get new ids at every tick.

    scene, library, actors: geometry, see `raster.draw_static` and `raster.draw_actors`. planes: the scene's, without
    what is hidden.
    colours: [F, 3] float32, lit. materials, tags: [F] uint8. Longer than there are faces.
    light_scalars, sky: see `shading.shade_rgb`.
    """

    def __init__(self, town: Town) -> None:
        self.scene = build_scene(town)
        self.static_count = len(self.scene.mesh)
        self.planes = self.scene.planes
        self.library = MeshLibrary()
        self.colours = np.zeros((self.static_count, 3), np.float32)
        self.materials = self.scene.mesh.material.copy()
        self.tags = self.scene.mesh.tag.copy()
        self._dome = sky_dome()
        self._weather: Weather | None = None
        self._light_states: dict[str, int] = {}
        self._seen_states: Mapping[str, int] | None = None  # whose copy that is
        self._shown: Sequence[VisualActor] | None = None
        self._placed: ActorArrays
        self._town_owners: tuple[dict[str, int], np.ndarray] | None = None
        self.update((), np.zeros((0, 6)), Weather(), {})

    def update(
        self, actors: Sequence[VisualActor], places: np.ndarray, weather: Weather, light_states: Mapping[str, int]
    ) -> None:
        """Sets what is seen.

        Args:
          actors: vehicles, walkers and props, in an order that does not depend on chance. The same object again says
            that it is the same actors.
          places: [A, 6] where they are, as CARLA has it: x, y, z (m), pitch, yaw, roll (deg). A vehicle's origin is on
            the ground under its middle, a walker's at half its height.
          weather: CARLA's 14 weather numbers.
          light_states: sign id -> 0 red, 1 yellow, 2 green, 3 off (`carla.TrafficLightState`); others are off.
        """
        states_changed = self._seen_states is not light_states and self._light_states != light_states
        self._seen_states = light_states
        if weather != self._weather:
            self._weather, states_changed = weather, True
            self._light = light_from_weather(weather)
            self.light_scalars = light_scalars(self._light)
            self.sky = sky_picture(self._light, self._dome)
            self.colours[: self.static_count] = lit_colours(self.scene.mesh, self._light)
        if states_changed:
            self._light_states = dict(light_states)
            states = states_array(self.scene, tuple(light_states.items()))
            self.colours[self.scene.lamp_faces] = self.scene.lamps.colours(states)
        if actors is not self._shown:
            self._show(actors)
        self._placed = replace(self._placed, to_world=to_world(places))

    def hide(self, things: Sequence[EnvironmentObject]) -> None:
        """Leaves these things of the town out of all that is seen from now on, and no others."""
        self.planes = self.scene.planes.copy()
        self.planes[faces_of(things, self.scene.mesh), 3] = _BEHIND_EVERYTHING_M

    def _show(self, actors: Sequence[VisualActor]) -> None:
        self._shown, self._placed = actors, pack_actors(actors, self.library, self.static_count)
        self._give_faces(self._placed.library_faces)

    def light_actors(self, drawn: np.ndarray) -> None:
        """Colours of the faces of actors, of those that are [A] bool `drawn`."""
        library, placed = self.library, self.actors
        shading.light_actors(
            library.normals, library.colours, library.materials, library.start,
            placed.mesh, placed.to_world, placed.paint, placed.first_face, drawn,
            self._light.to_sun, self._light.direct, self._light.ambient, self.colours,
        )  # fmt: skip

    def _give_faces(self, library_faces: np.ndarray) -> None:
        """Materials and tags of the actors' faces, and room for their colours."""
        needed = self.static_count + len(library_faces)
        if needed > len(self.colours):
            spare = needed + len(library_faces)
            self.colours = _grown(self.colours, spare)
            self.materials, self.tags = _grown(self.materials, spare), _grown(self.tags, spare)
        self.materials[self.static_count : needed] = self.library.materials[library_faces]
        self.tags[self.static_count : needed] = self.library.tags[library_faces]

    @property
    def actors(self) -> ActorArrays:
        """Of this tick."""
        return self._placed

    @property
    def face_count(self) -> int:
        """Faces of the town and the actors of this tick."""
        return self.static_count + len(self.actors.library_faces)

    def owners(self, light_ids: Mapping[str, int]) -> np.ndarray:
        """[F] uint32, the id of the actor that each face belongs to; 0 for the town's.

        Args:
          light_ids: actor ids of the traffic lights, by their sign ids.
        """
        if self._town_owners is None or self._town_owners[0] != light_ids:
            of_light = [light_ids.get(sign_id, 0) for sign_id in self.scene.sign_index]
            # The last is that of faces without a light, whose place is -1.
            self._town_owners = dict(light_ids), np.array([*of_light, 0], np.uint32)[self.scene.light_of]
        placed = self.actors
        counts = np.diff(self.library.start)[placed.mesh]
        return np.concatenate([self._town_owners[1], np.repeat(np.array(placed.ids, np.uint32), counts)])

    def normals(self) -> np.ndarray:
        """[F, 3] float32, the faces' unit normals in the world."""
        placed, library = self.actors, self.library
        counts = np.diff(library.start)[placed.mesh]
        turns = np.repeat(placed.to_world[:, :, :3], counts, axis=0)
        turned = np.einsum("fij,fj->fi", turns, library.normals[placed.library_faces])
        return np.concatenate([self.scene.planes[:, :3], turned.astype(np.float32)])


def _grown(array: np.ndarray, length: int) -> np.ndarray:
    grown = np.zeros((length, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
