"""Where a body is and how it moves, of vehicles and walkers alike."""

from dataclasses import dataclass

from minicarla.geometry.types import Pose


@dataclass(slots=True)
class Motion:
    """Pose, velocity, acceleration of a body: m, deg, m/s, deg/s, m/s^2, world frame. Stepped in place.

    With `simulate_physics` False it stays where it is put.
    """

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0
    vx: float = 0.0
    vy: float = 0.0
    vz: float = 0.0
    yaw_rate: float = 0.0
    ax: float = 0.0
    ay: float = 0.0
    az: float = 0.0
    simulate_physics: bool = True

    @property
    def pose(self) -> Pose:
        return Pose(self.x, self.y, self.z, self.pitch, self.yaw, self.roll)
