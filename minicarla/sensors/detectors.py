"""CARLA's detectors, which send an event when something happens: collision, obstacle, lane invasion."""

from collections.abc import Iterator

from minicarla.maps import Pose
from minicarla.protocol import wire
from minicarla.protocol.rpc_types import Description, Wire, bounding_box
from minicarla.protocol.streams import Frame
from minicarla.sensors import measurements
from minicarla.sensors.base import StateSensor
from minicarla.world.state import SimulationState

_BUILDING_TAG = 3  # carla.CityObjectLabel.Buildings
# What an event names when the static town was hit; CARLA too sends an actor without an id then.
_TOWN: Wire = [0, 0, [0, "static.building", []], bounding_box((0, 0, 0), (0, 0, 0)), bytes([_BUILDING_TAG]), b""]


class LaneInvasionSensor(StateSensor):
    """Can be spawned and has no stream: the client computes the events from the road network."""

    is_server_side = False

    def frames(self) -> Iterator[Frame]:
        yield from ()


class CollisionSensor(StateSensor):
    """simplified: an event at every tick for every contact of its actor's box; all of the town is `static.building`."""

    def frames(self) -> Iterator[Frame]:
        for contact in self._state.contacts:
            if contact.a_id == self._owner_id:
                other, sign = contact.b_id, 1.0
            elif contact.b_id is not None and contact.b_id == self._owner_id:
                other, sign = contact.a_id, -1.0
            else:
                continue
            impulse = [sign * component for component in contact.impulse]
            body = wire.collision_body(self._owner_wire(), _actor_wire(self._state, other), impulse)
            yield self._measurement(wire.SensorType.COLLISION, body)


class ObstacleSensor(StateSensor):
    """simplified: an event at every tick at which a sphere sent forward meets something; boxes stand for all shapes."""

    def __init__(self, actor_id: int, description: Description, pose: Pose, state: SimulationState) -> None:
        super().__init__(actor_id, description, pose, state)
        self._config = measurements.ObstacleConfig.from_attributes(description.attributes)

    def frames(self) -> Iterator[Frame]:
        state = self._state
        hit = measurements.detect_obstacle(self.pose, self._config, state.collisions, state.bodies(), self._owner_id)
        if hit is not None:
            body = wire.obstacle_body(self._owner_wire(), _actor_wire(state, hit.actor_id), hit.distance)
            yield self._measurement(wire.SensorType.OBSTACLE, body)


def _actor_wire(state: SimulationState, actor_id: int | None) -> Wire:
    """The actor's array; the town's for None, and for an actor that is gone."""
    actor = None if actor_id is None else state.actors.get(actor_id)
    return _TOWN if actor is None else actor.wire(state.streams.port)
