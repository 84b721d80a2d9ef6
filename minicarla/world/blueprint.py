"""What a blueprint is: a kind of actor with its attributes, as `World.get_blueprint_library` lists it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from minicarla.protocol.rpc_types import Wire, finite, shown
from minicarla.render.encodings import Tag


class AttributeType(IntEnum):
    """`carla.ActorAttributeType`."""

    BOOL = 1
    INT = 2
    FLOAT = 3
    STRING = 4
    RGB = 5


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a blueprint. A constant cannot be set by a client; `values[0]` is the default."""

    id: str
    type: AttributeType
    values: tuple[str, ...]
    constant: bool = False
    restricted: bool = False

    def wire(self) -> Wire:
        """The array of `get_actor_definitions`."""
        recommended = [] if self.constant else list(self.values)
        return [self.id, int(self.type), self.values[0], recommended, not self.constant, self.restricted]

    def check(self, value: str, kind: object) -> None:
        """ValueError, with a sentence, for a value that the attribute cannot have, or one of another type."""
        if kind != self.type:
            raise ValueError(f"{self.id} is of type {self.type} ({self.type.name.lower()}), not {shown(kind)}")
        if value == self.values[0]:
            return
        if self.constant:
            raise ValueError(f"{self.id} is always {self.values[0]!r}, not {shown(value)}")
        if self.restricted and value not in self.values:
            raise ValueError(f"{self.id} must be one of {', '.join(self.values)}, not {shown(value)}")
        holds, what = _FORMS[self.type]
        if not holds(value):
            raise ValueError(f"{self.id} must be {what}, not {shown(value)}")


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A kind of actor. refused: why it can be looked at but not spawned."""

    id: str
    attributes: tuple[Attribute, ...]
    tag: Tag | None = None
    refused: str | None = None

    def wire(self, uid: int) -> Wire:
        """The array of `get_actor_definitions`."""
        return [uid, self.id, self.id.replace(".", ","), [attribute.wire() for attribute in self.attributes]]

    def defaults(self) -> dict[str, str]:
        """The attributes as a client that sets nothing sends them."""
        return {attribute.id: attribute.values[0] for attribute in self.attributes}


def _is_number(value: str) -> bool:
    try:
        finite(value)
    except ValueError:
        return False
    return True


def _is_whole(value: str) -> bool:
    return _is_number(value) and finite(value).is_integer()


def _is_colour(value: str) -> bool:
    channels = value.split(",")
    return len(channels) == 3 and all(_is_whole(channel) and 0 <= finite(channel) <= 255 for channel in channels)


_FORMS: dict[AttributeType, tuple[Callable[[str], bool], str]] = {
    AttributeType.BOOL: (lambda value: value.lower() in ("true", "false"), "true or false"),
    AttributeType.INT: (_is_whole, "a whole number"),
    AttributeType.FLOAT: (_is_number, "a finite number"),
    AttributeType.STRING: (lambda value: True, "a text"),
    AttributeType.RGB: (_is_colour, "a colour like 255,128,0"),
}


def constant(name: str, value: str, kind: AttributeType = AttributeType.STRING) -> Attribute:
    """An attribute that clients can read and not set."""
    return Attribute(name, kind, (value,), constant=True)


def common(blueprint: str, roles: tuple[str, ...] = ("default",)) -> tuple[Attribute, ...]:
    """What every blueprint of CARLA has."""
    return (
        Attribute("role_name", AttributeType.STRING, roles),
        Attribute("ros_name", AttributeType.STRING, (blueprint,)),
    )
