"""The arrays that travel on the RPC channel, to and from plain data.

Structs are msgpack arrays in CARLA's declaration order (LibCarla's rpc/*.h, version 0.9.16). What comes from a client
is checked here: a number that is not finite would poison the physics, so it is refused with a sentence.
"""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minicarla.geometry.types import Pose
from minicarla.limits import (
    MAX_ATTRIBUTES_LENGTH,
    MAX_LOCATION_M,
    MAX_MAGNITUDE,
    MAX_NAME_LENGTH,
    MIN_DELTA_S,
)

Wire = list[Any]


class ArgumentError(ValueError):
    """An argument that is not what CARLA's RPC interface says."""


def shown(value: Any) -> str:
    """`value` for an error: short, however large or deep it is."""
    return f"{reprlib.repr(value):.80}"


def number(value: Any, what: str, limit: float = MAX_MAGNITUDE) -> float:
    """`value` as a float; ArgumentError if it is none, not finite or beyond +-`limit`."""
    # The comparison is false for NaN.
    if not isinstance(value, float | int) or not -limit <= value <= limit:
        raise ArgumentError(f"{what} must be a finite number of at most {limit:.0e}, not {shown(value)}")
    return float(value)


def numbers(values: Any, count: int, what: str, limit: float = MAX_MAGNITUDE) -> tuple[float, ...]:
    """`count` finite floats within +-`limit`; ArgumentError otherwise."""
    if not isinstance(values, list | tuple) or len(values) < count:
        raise ArgumentError(f"{what} must be {count} numbers, not {shown(values)}")
    wanted = values[:count]
    for value in wanted:
        if type(value) is not float or not -limit <= value <= limit:
            return tuple([number(value, what, limit) for value in wanted])
    return tuple(wanted)  # as most are, in half of the time


def text(value: Any, what: str, longest: int | None = None) -> str:
    """`value` as a string of at most `longest` characters; ArgumentError otherwise."""
    if not isinstance(value, str):
        raise ArgumentError(f"{what} must be a string, not {shown(value)}")
    if longest is not None and len(value) > longest:
        raise ArgumentError(f"{what} must not be longer than {longest} characters")
    return value


def identifier(value: Any, what: str = "actor id") -> int:
    """`value` as an unsigned 64-bit integer; ArgumentError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise ArgumentError(f"{what} must be an unsigned integer, not {shown(value)}")
    return value


def items(value: Any, what: str, at_least: int = 0) -> Wire:
    """`value` as a list of at least so many items; ArgumentError otherwise."""
    if not isinstance(value, list) or len(value) < at_least:
        raise ArgumentError(f"{what} must be an array of at least {at_least} items, not {shown(value)}")
    return value


def vector(value: Any, what: str, limit: float = MAX_MAGNITUDE) -> tuple[float, float, float]:
    """x, y, z."""
    if isinstance(value, list) and len(value) == 3:
        x, y, z = value
        # What `numbers` asks in a third of its time: a crowd sends five hundred of these for every tick.
        floats = type(x) is type(y) is type(z) is float
        if floats and -limit <= x <= limit and -limit <= y <= limit and -limit <= z <= limit:
            return x, y, z
    x, y, z = numbers(value, 3, what, limit)
    return x, y, z


def location(value: Any, what: str = "location") -> tuple[float, float, float]:
    """x, y, z of a place, m."""
    return vector(value, what, MAX_LOCATION_M)


def pose(value: Any) -> Pose:
    """A transform: [location, rotation]."""
    return Pose(*pose_numbers(value))


def pose_numbers(value: Any) -> tuple[float, float, float, float, float, float]:
    """A transform as x, y, z, pitch, yaw, roll."""
    place, rotation = items(value, "transform", at_least=2)[:2]
    return *location(place), *vector(rotation, "rotation")


def transform(value: Pose) -> Wire:
    """The array of a pose."""
    return [[value.x, value.y, value.z], [value.pitch, value.yaw, value.roll]]


def bounding_box(
    centre: Sequence[float], extent: Sequence[float], rotation: Sequence[float] = (0.0, 0.0, 0.0), actor_id: int = 0
) -> Wire:
    """Centre (m), half sizes (m), rotation (deg); the actor id is new in 0.9.16."""
    return [list(centre), list(extent), list(rotation), actor_id]


@dataclass(frozen=True, slots=True)
class EpisodeSettings:
    """`carla.WorldSettings`. minicarla acts on the first three; the others are kept and given back."""

    synchronous: bool = False
    no_rendering: bool = False
    fixed_delta: float | None = None  # s
    substepping: bool = True
    max_substep_delta: float = 0.01  # s
    max_substeps: int = 10
    max_culling_distance: float = 0.0
    deterministic_ragdolls: bool = True
    tile_stream_distance: float = 3000.0
    actor_active_distance: float = 2000.0
    spectator_as_ego: bool = True

    @classmethod
    def parse(cls, value: Any) -> "EpisodeSettings":
        """From the array that `set_episode_settings` carries."""
        fields = items(value, "settings", at_least=11)[:11]
        delta = items(fields[2], "fixed_delta_seconds", at_least=1)
        items(delta, "fixed_delta_seconds", at_least=2 if delta[0] else 1)
        # The wheel sends nothing for "variable"; other clients may send 0, as to CARLA.
        fixed = number(delta[1], "fixed_delta_seconds") if delta[0] else 0.0
        if 0.0 < fixed < MIN_DELTA_S:
            raise ArgumentError(f"fixed_delta_seconds must be 0, for a variable step, or at least {MIN_DELTA_S} s")
        substep, substeps, culling, _, tiles, active = (number(value or 0, "settings") for value in fields[4:10])
        return cls(
            synchronous=bool(fields[0]),
            no_rendering=bool(fields[1]),
            fixed_delta=fixed if fixed > 0.0 else None,
            substepping=bool(fields[3]),
            max_substep_delta=substep,
            max_substeps=int(substeps),
            max_culling_distance=culling,
            deterministic_ragdolls=bool(fields[7]),
            tile_stream_distance=tiles,
            actor_active_distance=active,
            spectator_as_ego=bool(fields[10]),
        )

    def wire(self) -> Wire:
        """The array that `get_episode_settings` returns."""
        delta = [False] if self.fixed_delta is None else [True, self.fixed_delta]
        rest = [self.substepping, self.max_substep_delta, self.max_substeps, self.max_culling_distance]
        rest += [self.deterministic_ragdolls, self.tile_stream_distance, self.actor_active_distance]
        return [self.synchronous, self.no_rendering, delta, *rest, self.spectator_as_ego]


@dataclass(frozen=True, slots=True)
class Description:
    """What an actor was spawned from: the blueprint's id, the values of its attributes, and the array of both.

    types: of the attributes that a client has sent, as it calls them.
    """

    type_id: str
    attributes: dict[str, str]
    wire: Wire = field(repr=False)
    uid: int = 0
    types: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, value: Any) -> "Description":
        """From [uid, id, [[attribute, type, value]...]]."""
        uid, type_id, attributes = items(value, "actor description", at_least=3)[:3]
        pairs, types = {}, {}
        for attribute in items(attributes, "attributes"):
            name, kind, content = items(attribute, "attribute", at_least=3)[:3]
            pairs[text(name, "attribute id", MAX_NAME_LENGTH)] = text(content, "attribute value", MAX_NAME_LENGTH)
            types[name] = kind
        if sum(map(len, pairs.values())) > MAX_ATTRIBUTES_LENGTH:
            raise ArgumentError(f"attribute values must not have more than {MAX_ATTRIBUTES_LENGTH} characters together")
        uid = identifier(uid, "blueprint uid") & 0xFFFFFFFF
        return cls(text(type_id, "blueprint id", MAX_NAME_LENGTH), pairs, [], uid, types)

    def number(self, attribute: str, default: float) -> float:
        """The attribute as a finite number; ValueError if it is another text."""
        return finite(self.attributes.get(attribute, default))


def finite(value: str | float) -> float:
    """A number that other numbers can be computed with; ValueError for any other text."""
    # CARLA's own defaults are C++ literals in places: "3.5f".
    number = float(value.removesuffix("f") if isinstance(value, str) else value)
    if not abs(number) <= MAX_MAGNITUDE:
        raise ValueError(f"a number must be finite and at most {MAX_MAGNITUDE:.0e}, not {value!r}")
    return number


def label(actor_id: int, type_id: str) -> str:
    """How an error names an actor."""
    return f"actor {actor_id} ({type_id})"
