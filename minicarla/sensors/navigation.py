"""The sensors of position and motion: GNSS and IMU."""

from collections.abc import Iterator

import numpy as np

from minicarla.maps import Pose
from minicarla.protocol import wire
from minicarla.protocol.rpc_types import Description
from minicarla.protocol.streams import Frame
from minicarla.sensors import measurements
from minicarla.sensors.base import StateSensor
from minicarla.world.attributes import seed
from minicarla.world.state import SimulationState


class GnssSensor(StateSensor):
    """Latitude, longitude, altitude."""

    def __init__(self, actor_id: int, description: Description, pose: Pose, state: SimulationState) -> None:
        super().__init__(actor_id, description, pose, state)
        self._origin = measurements.parse_geo_reference(state.town.xodr)
        self._noise = measurements.GnssNoise.from_attributes(description.attributes)
        self._rng = np.random.default_rng(seed(description.attributes, state.seed))

    def frames(self) -> Iterator[Frame]:
        place = measurements.measure_gnss(self.pose, self._origin, self._noise, self._rng)
        yield self._measurement(wire.SensorType.GNSS, wire.gnss_body(*place))


class ImuSensor(StateSensor):
    """Accelerometer, gyroscope, compass."""

    def __init__(self, actor_id: int, description: Description, pose: Pose, state: SimulationState) -> None:
        super().__init__(actor_id, description, pose, state)
        self._noise = measurements.ImuNoise.from_attributes(description.attributes)
        self._rng = np.random.default_rng(seed(description.attributes, state.seed))

    def frames(self) -> Iterator[Frame]:
        motion = (self.parent or self).motion()
        wx, wy, wz, ax, ay, az = motion[9:15]
        read = measurements.measure_imu(self.pose, (ax, ay, az), (wx, wy, wz), self._noise, self._rng)
        body = wire.imu_body(read.accelerometer, read.gyroscope, read.compass)
        yield self._measurement(wire.SensorType.IMU, body)
