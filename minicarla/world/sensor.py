"""What the simulation knows of a sensor: when it measures, and that it has frames to send then."""

import math
from abc import abstractmethod
from collections.abc import Iterator

from minicarla.geometry.types import Pose
from minicarla.protocol.rpc_types import Description
from minicarla.protocol.streams import Frame
from minicarla.world.actors import Actor
from minicarla.world.attributes import number

_ROUNDING_S = 1e-6


class Sensor(Actor):
    """A sensor. `is_due` is asked once a tick, `frames` only when it is due and somebody listens."""

    is_server_side = True

    def __init__(self, actor_id: int, description: Description, pose: Pose) -> None:
        super().__init__(actor_id, description, pose)
        # s; 0 = at every tick
        self.interval = (
            number(description.attributes, "sensor_tick", 0.0) if "sensor_tick" in description.attributes else 0.0
        )
        self._waited = math.inf  # s; it measures at its first tick

    def is_due(self, dt: float) -> bool:
        """Whether the sensor measures at the tick that is `dt` seconds after the last one; true at its first."""
        self._waited += dt
        # Sums of 0.05 must reach 0.1 at the second tick.
        if self._waited < self.interval - _ROUNDING_S:
            return False
        over = self._waited - self.interval
        self._waited = over if over < self.interval else 0.0
        return True

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """What it has to tell about the tick just made."""

    def close(self) -> None:
        """Free what it holds."""
