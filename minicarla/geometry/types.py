"""Plain data that all of minicarla shares in CARLA's frame: x forward/east, y right/south, z up; metres and degrees."""

from dataclasses import dataclass

# Junction of the first light that neither a junction nor a controller has, as CARLA numbers the groups it makes up.
FIRST_LONE_JUNCTION = -2


# Nobody changes one. It is not frozen, for that takes four times as long to make, and a tick makes hundreds.
@dataclass(slots=True, unsafe_hash=True)
class Pose:
    """A `carla.Transform` as plain numbers: location in m, rotation in degrees (yaw clockwise from above)."""

    x: float
    y: float
    z: float
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0


ORIGIN = Pose(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class OrientedBox:
    """A box on the ground: centre (m), yaw (deg) and half sizes along its own axes (m), as `carla.BoundingBox` has."""

    x: float
    y: float
    z: float
    yaw: float
    ex: float
    ey: float
    ez: float


@dataclass(frozen=True, slots=True)
class Building:
    """Something solid beside the road: drawn by the renderer, collided with by the physics."""

    box: OrientedBox
    colour: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class LightSpec:
    """A traffic light of the road network.

    `sign_id` is its OpenDRIVE signal id. `pose` is the foot of its pole, its yaw the way of the traffic it speaks to:
    the lamps look the other way. Lights of one junction with the same `group` are green together. A vehicle whose
    centre lies in one of `stop_boxes` is held by the light.
    """

    sign_id: str
    pose: Pose
    junction_id: int
    group: int
    stop_boxes: tuple[OrientedBox, ...]


@dataclass(frozen=True, slots=True)
class SignSpec:
    """A traffic sign of the road network: a speed limit, a stop or a yield sign.

    `sign_id` is its OpenDRIVE signal id, `type_id` the actor's. `pose` is the foot of its pole, its yaw the way of the
    traffic it speaks to. A vehicle that comes to touch one of `boxes` is told: that the limit is `limit_kmh` from now
    on, or to wait while another vehicle touches one of the `crossing` boxes.
    """

    sign_id: str
    type_id: str
    pose: Pose
    boxes: tuple[OrientedBox, ...]
    limit_kmh: float | None = None
    crossing: tuple[OrientedBox, ...] = ()
