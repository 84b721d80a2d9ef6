"""Traffic lights: fixed-time cycles per junction, and which light holds a vehicle.

As on CARLA (its ATrafficLightGroup and UTrafficLightController): the groups of a junction take turns, each green 10 s,
yellow 3 s, then red 2 s for all before the next group's turn. A light with neither junction nor controller is red 10 s.
A state set by hand lasts until its group's next change, or for as long as the lights are frozen.
"""

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numba import njit

from minicarla.geometry.boxes import Box
from minicarla.geometry.cells import Grid, grid_of, members_at
from minicarla.geometry.types import FIRST_LONE_JUNCTION, LightSpec
from minicarla.numba_cache import CACHE

GREEN_S, YELLOW_S, RED_S = 10.0, 3.0, 2.0
LONE_RED_S = 10.0  # of a light that no controller and no junction names
HEIGHT_TOLERANCE = 2.0  # m, under a stop box on a slope
HEADING_TOLERANCE = 60.0  # deg between a vehicle and its stop box's lane
_CELL = 16.0  # m
_ROUNDING = 1e-4  # s; the clock is a sum of many steps and must not be late by one after hours


class LightState(enum.IntEnum):
    """`carla.TrafficLightState`, as the wire has it."""

    RED = 0
    YELLOW = 1
    GREEN = 2
    OFF = 3
    UNKNOWN = 4


_RED, _GREEN = int(LightState.RED), int(LightState.GREEN)
_CYCLE = (LightState.GREEN, LightState.YELLOW, LightState.RED)


@dataclass(slots=True)
class _Group:
    """The lights of a junction that are green together, and how long each of their states lasts (s)."""

    lights: list[str] = field(default_factory=list)
    durations: dict[LightState, float] = field(
        default_factory=lambda: {LightState.GREEN: GREEN_S, LightState.YELLOW: YELLOW_S, LightState.RED: RED_S}
    )


@dataclass(slots=True)
class _Junction:
    groups: list[_Group]
    active: int = 0  # whose turn it is
    phase: int = 0  # index into _CYCLE
    since: float = 0.0  # time at which the phase began, s
    until: float = GREEN_S


@dataclass(slots=True)
class _Light:
    state: LightState
    since: float
    junction: _Junction
    group: _Group
    pole_index: int


class TrafficLightSystem:
    """All lights of a town. Lights are named by their OpenDRIVE signal id.

    Times and states set for one light hold for its whole group (times) or for it alone (states). ValueError for an
    unknown light or a negative time.
    """

    def __init__(self, lights: Sequence[LightSpec]) -> None:
        self.revision = 0  # changes with any light's state, times or freezing: what was made of them is out of date
        self._time = 0.0
        self._frozen = False
        self._lights: dict[str, _Light] = {}
        self._junctions: list[_Junction] = []
        for specs in _by_key(lights, lambda spec: spec.junction_id):
            junction = _Junction([])
            for members in _by_key(specs, lambda spec: spec.group):
                junction.groups.append(_Group([spec.sign_id for spec in members]))
                if members[0].junction_id <= FIRST_LONE_JUNCTION:
                    junction.groups[-1].durations[LightState.RED] = LONE_RED_S
                for spec in members:
                    if spec.sign_id in self._lights:
                        raise ValueError(f"Two traffic lights are called '{spec.sign_id}'; signal ids must be unique.")
                    pole = sum(len(group.lights) for group in junction.groups[:-1]) + members.index(spec)
                    self._lights[spec.sign_id] = _Light(LightState.RED, 0.0, junction, junction.groups[-1], pole)
            self._junctions.append(junction)
        self._zones = _StopZones(lights)
        self._shown_at = self._states_at = -1  # revisions
        self._states: dict[str, int] = {}
        self._shown = np.zeros(0, np.uint8)
        self.reset_all()

    @property
    def sign_ids(self) -> tuple[str, ...]:
        """All lights, junction by junction."""
        return tuple(self._lights)

    @property
    def frozen(self) -> bool:
        return self._frozen

    def tick(self, dt: float) -> tuple[str, ...]:
        """Advances all cycles by `dt` seconds (none while frozen); the lights whose state changed."""
        if self._frozen:
            return ()
        self._time += dt
        changed: list[str] = []
        for junction in self._junctions:
            if self._time >= junction.until - _ROUNDING:
                changed += self._advance(junction)
        self.revision += bool(changed)
        return tuple(changed)

    def state(self, sign_id: str) -> LightState:
        """What the light shows."""
        return self._light(sign_id).state

    def states(self) -> dict[str, int]:
        """What every light shows, as integers: the same object until a light changes."""
        if self._states_at != self.revision:
            self._states_at = self.revision
            self._states = {sign_id: int(light.state) for sign_id, light in self._lights.items()}
        return self._states

    def elapsed_time(self, sign_id: str) -> float:
        """Seconds since the light began to show its state; stands still while frozen."""
        return self._time - self._light(sign_id).since

    def green_time(self, sign_id: str) -> float:
        return self._light(sign_id).group.durations[LightState.GREEN]

    def yellow_time(self, sign_id: str) -> float:
        return self._light(sign_id).group.durations[LightState.YELLOW]

    def red_time(self, sign_id: str) -> float:
        """Seconds for which all of the junction is red after this light's turn."""
        return self._light(sign_id).group.durations[LightState.RED]

    def set_green_time(self, sign_id: str, seconds: float) -> None:
        self._set_time(sign_id, LightState.GREEN, seconds)

    def set_yellow_time(self, sign_id: str, seconds: float) -> None:
        self._set_time(sign_id, LightState.YELLOW, seconds)

    def set_red_time(self, sign_id: str, seconds: float) -> None:
        self._set_time(sign_id, LightState.RED, seconds)

    def set_state(self, sign_id: str, state: int, elapsed: float | None = None) -> None:
        """Makes one light show `state` until its group's next change, as if for `elapsed` seconds already."""
        light = self._light(sign_id)
        self._show(light, LightState(state))
        if elapsed is not None:
            light.since = self._time - elapsed
        self.revision += 1

    def freeze_all(self, frozen: bool) -> None:
        """Stops, or lets go on, every cycle of the town."""
        self._frozen = frozen
        self.revision += 1

    def reset_all(self) -> None:
        """Starts every cycle anew: the first group of each junction turns green."""
        for junction in self._junctions:
            self._reset(junction)
        self.revision += 1

    def reset_group(self, sign_id: str) -> None:
        """Starts the cycle of the light's junction anew."""
        self._reset(self._light(sign_id).junction)
        self.revision += 1

    def group(self, sign_id: str) -> tuple[str, ...]:
        """All lights of the light's junction, itself among them: `TrafficLight.get_group_traffic_lights`."""
        return tuple(name for group in self._light(sign_id).junction.groups for name in group.lights)

    def pole_index(self, sign_id: str) -> int:
        """The light's place in its junction: `TrafficLight.get_pole_index`."""
        return self._light(sign_id).pole_index

    def light_for(self, x: float, y: float, z: float, yaw: float) -> str | None:
        """The light that holds a vehicle whose wheels stand at (x, y, z) m, heading `yaw` deg, or None."""
        number = _find(self._zones.grid, self._zones.boxes, x, y, z, yaw)
        return None if number < 0 else self._zones.sign_ids[int(self._zones.boxes[number, _LIGHT])]

    def tell(self, rows: np.ndarray, which: np.ndarray, actor_ids: np.ndarray) -> None:
        """Tell vehicles which light holds them, or the sign at which they wait.

        Args:
          rows: of type `rows.VEHICLES`. which: [V] int64, their numbers.
          actor_ids: [L] uint32 of the lights, in the order that they were given in.
        """
        if self._shown_at != self.revision:
            self._shown_at = self.revision
            self._shown = np.array([self._lights[sign_id].state for sign_id in self._zones.sign_ids], np.uint8)
        _tell(rows, which, self._zones.grid, self._zones.boxes, self._shown, actor_ids)

    def _light(self, sign_id: str) -> _Light:
        try:
            return self._lights[sign_id]
        except KeyError:
            raise ValueError(f"There is no traffic light '{sign_id}' on this map.") from None

    def _set_time(self, sign_id: str, state: LightState, seconds: float) -> None:
        if not (math.isfinite(seconds) and seconds >= 0.0):
            raise ValueError(f"A traffic light's time must be a number of seconds >= 0, not {seconds}.")
        light = self._light(sign_id)
        light.group.durations[state] = seconds
        junction = light.junction
        if junction.groups[junction.active] is light.group and _CYCLE[junction.phase] is state:
            junction.until = junction.since + seconds
        self.revision += 1

    def _reset(self, junction: _Junction) -> None:
        junction.active, junction.phase = 0, 0
        junction.since = self._time
        for group in junction.groups:
            for sign_id in group.lights:
                light = self._lights[sign_id]
                light.state, light.since = LightState.RED, self._time
        self._begin(junction)

    def _advance(self, junction: _Junction) -> list[str]:
        junction.since = junction.until
        junction.phase = (junction.phase + 1) % len(_CYCLE)
        if junction.phase == 0:
            junction.active = (junction.active + 1) % len(junction.groups)
        return self._begin(junction)

    def _begin(self, junction: _Junction) -> list[str]:
        """Shows the junction's phase on the group whose turn it is; the lights that changed."""
        group, state = junction.groups[junction.active], _CYCLE[junction.phase]
        junction.until = junction.since + group.durations[state]
        return [sign_id for sign_id in group.lights if self._show(self._lights[sign_id], state)]

    def _show(self, light: _Light, state: LightState) -> bool:
        if light.state is state:
            return False
        light.state, light.since = state, self._time
        return True


class _StopZones:
    """The stop boxes of all lights.

    boxes: [B, 10], the columns below. sign_ids: of the lights, to which the last column refers.
    """

    def __init__(self, lights: Sequence[LightSpec]) -> None:
        self.sign_ids = [spec.sign_id for spec in lights]
        stops = [(stop, number) for number, spec in enumerate(lights) for stop in spec.stop_boxes]
        boxes = [Box.of(stop) for stop, _ in stops]
        self.grid = grid_of(np.array([box.bounds() for box in boxes]), _CELL)
        self.boxes = np.array(
            [
                (box.x, box.y, box.cos, box.sin, box.ex, box.ey, box.low, box.high, stop.yaw, number)
                for box, (stop, number) in zip(boxes, stops, strict=True)
            ],
            np.float64,
        ).reshape(-1, _LIGHT + 1)


_X, _Y, _COS, _SIN, _EX, _EY, _LOW, _HIGH, _YAW, _LIGHT = range(10)


@njit(cache=CACHE)
def _find(grid: Grid, boxes: np.ndarray, x: float, y: float, z: float, yaw: float) -> int:
    """The first of the boxes that a vehicle is in, -1 for none; see `light_for`."""
    for number in members_at(grid, x, y):
        box = boxes[number]
        turned = abs((yaw - box[_YAW] + 180.0) % 360.0 - 180.0)
        # The height: not what drives on a bridge above or below.
        if turned > HEADING_TOLERANCE or not box[_LOW] - HEIGHT_TOLERANCE <= z <= box[_HIGH]:
            continue
        dx, dy = x - box[_X], y - box[_Y]
        along, across = abs(dx * box[_COS] + dy * box[_SIN]), abs(dy * box[_COS] - dx * box[_SIN])
        if along <= box[_EX] and across <= box[_EY]:
            return number
    return -1


@njit(cache=CACHE)
def _tell(
    rows: np.ndarray, which: np.ndarray, grid: Grid, boxes: np.ndarray, shown: np.ndarray, actor_ids: np.ndarray
) -> None:
    for number in which:
        state, drive = rows[number].state, rows[number].drive
        box = _find(grid, boxes, state.x, state.y, state.z, state.yaw)
        if box >= 0:
            light = int(boxes[box, _LIGHT])
            drive.light_state, drive.is_held, drive.light_id = shown[light], True, actor_ids[light]
        else:
            # CARLA reports green to a vehicle that no light holds, and here red to one that a stop or yield sign holds:
            # it makes a Traffic Manager stop it.
            drive.light_state, drive.is_held, drive.light_id = _RED if drive.waits else _GREEN, False, 0


def _by_key(lights: Sequence[LightSpec], key: Callable[[LightSpec], int]) -> list[list[LightSpec]]:
    """The lights in groups of equal key, keys rising, otherwise in the order given."""
    groups: dict[int, list[LightSpec]] = {}
    for spec in lights:
        groups.setdefault(key(spec), []).append(spec)
    return [groups[number] for number in sorted(groups)]
