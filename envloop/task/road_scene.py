"""Who and what is around the ego on its way, as the simulator knows it: plain data, in metres and m/s.

The camera shows all of it, more or less well. Only a privileged driver is told.
"""

from dataclasses import dataclass
from typing import Literal

LightState = Literal["red", "yellow", "green", "off"]


@dataclass(frozen=True, slots=True)
class RoadUser:
    """A vehicle or a person.

    Attributes:
      x, y: middle of its box, m; `z` is the height of what it stands on, m.
      yaw_deg: heading of its box.
      yaw_rate_deg: degrees per second.
      vx, vy: m/s in the world.
      accel: along its heading, m/s^2.
      half_length, half_width: of its box, m.
      person: whether it walks.
      may_drive_m: how far it may go before a light that is red or yellow holds it up, from its front; inf for no light.
    """

    x: float
    y: float
    z: float
    yaw_deg: float
    yaw_rate_deg: float
    vx: float
    vy: float
    accel: float
    half_length: float
    half_width: float
    person: bool = False
    may_drive_m: float = float("inf")


@dataclass(frozen=True, slots=True)
class StopLine:
    """Where a traffic light holds up who drives along a route: arc length (m), and what the light shows."""

    s: float
    state: LightState


@dataclass(frozen=True, slots=True)
class Crossing:
    """A junction on a route: arc length (m) of its beginning and its end."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class RoadScene:
    """Everything that concerns who drives along a route.

    Attributes:
      users: vehicles and people near the ego.
      stop_lines: of the whole route, in order.
      stop_signs: arc lengths, m, of the lines in front of the route's stop signs, in order.
      crossings: of the whole route, in order.
    """

    users: tuple[RoadUser, ...] = ()
    stop_lines: tuple[StopLine, ...] = ()
    stop_signs: tuple[float, ...] = ()
    crossings: tuple[Crossing, ...] = ()
