"""What all sensors have in common: they read the simulation's state, and belong to the actor they are attached to."""

from minicarla.maps import Pose
from minicarla.protocol import wire
from minicarla.protocol.rpc_types import Description, Wire
from minicarla.protocol.streams import Frame
from minicarla.world.sensor import Sensor
from minicarla.world.state import SimulationState


class StateSensor(Sensor):
    """A sensor that measures the simulation's state."""

    def __init__(self, actor_id: int, description: Description, pose: Pose, state: SimulationState) -> None:
        super().__init__(actor_id, description, pose)
        self._state = state

    def _measurement(self, kind: wire.SensorType, body: object) -> Frame:
        state = self._state
        return (wire.measurement(kind, state.frame, state.elapsed, self.place, body),)

    @property
    def place(self) -> tuple[float, ...]:
        """Its pose as every frame carries it: x, y, z (m), pitch, yaw, roll (deg)."""
        pose = self.pose
        return (pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll)

    def _owner_wire(self) -> Wire:
        return (self.parent or self).wire(self._state.streams.port)

    @property
    def _owner_id(self) -> int | None:
        return None if self.parent is None else self.parent.id
