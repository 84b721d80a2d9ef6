"""What a blueprint is: a kind of actor with its attributes, as `World.get_blueprint_library` lists it."""

from dataclasses import dataclass
from enum import IntEnum

from minicarla.protocol.rpc_types import Wire


class AttributeType(IntEnum):
    """`carla.ActorAttributeType`."""

    BOOL = 1
    INT = 2
    FLOAT = 3
    STRING = 4
    RGB = 5


class Tag(IntEnum):
    """`carla.CityObjectLabel` of what can be spawned."""

    TRAFFIC_LIGHT = 7
    PEDESTRIAN = 12
    CAR = 14
    TRUCK = 15
    MOTORCYCLE = 18
    BICYCLE = 19
    STATIC = 20


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


def constant(name: str, value: str, kind: AttributeType = AttributeType.STRING) -> Attribute:
    """An attribute that clients can read and not set."""
    return Attribute(name, kind, (value,), constant=True)


def common(blueprint: str, roles: tuple[str, ...] = ("default",)) -> tuple[Attribute, ...]:
    """What every blueprint of CARLA has."""
    return (
        Attribute("role_name", AttributeType.STRING, roles),
        Attribute("ros_name", AttributeType.STRING, (blueprint,)),
    )
