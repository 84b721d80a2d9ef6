"""Parts of an actor: Unreal's components, and the bones of vehicles and walkers.

Names are Unreal's and CARLA's ("Add a new vehicle" in its documentation, CarlaWheeledVehicle.cpp); of the lamps CARLA's
documentation names the front blinkers. Real vehicles there have more parts than are known here.
"""

import math
from dataclasses import dataclass

from minicarla.geometry.types import Pose
from minicarla.world.actors import Actor, Prop, Vehicle, Walker
from minicarla.world.physics_control import wheel_places

_AXLES = ("Front", "Rear", "Rear2")  # the last: of the one vehicle with six wheels, named by analogy
_BLINKER_OUT, _BLINKER_UP = 0.62, 0.40  # of half the width and of the height, as the lamps are drawn
_ORIGIN = Pose(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Part:
    """A part's name, and where it is, mostly in the actor's frame."""

    name: str
    pose: Pose


def components(actor: Actor) -> list[Part]:
    """Its components, never none."""
    if isinstance(actor, Vehicle):
        x, z = actor.box_centre
        return [Part("VehicleMesh", _ORIGIN), Part("VehicleBounds", Pose(x, 0.0, z)), *_blinkers(actor)]
    if isinstance(actor, Walker):
        return [Part("CollisionCylinder", _ORIGIN), Part("CharacterMesh0", Pose(0.0, 0.0, -actor.extent[2]))]
    return [Part("StaticMeshComponent0" if isinstance(actor, Prop) else "DefaultSceneRoot", _ORIGIN)]


def _blinkers(vehicle: Vehicle) -> list[Part]:
    if vehicle.params.wheels == 2:
        return []
    (x, _), (ex, ey, ez) = vehicle.box_centre, vehicle.extent
    places = (("l", -_BLINKER_OUT * ey), ("r", _BLINKER_OUT * ey))
    return [Part(f"front-blinker-{side}-1", Pose(x + ex, y, 2.0 * ez * _BLINKER_UP)) for side, y in places]


def bones(actor: Actor) -> list[Part]:
    """The bones of a vehicle or a walker; none of other actors."""
    if isinstance(actor, Walker):
        return _parts(actor.skeleton.in_actor(actor.skeleton.relative(*actor.gait)))
    if not isinstance(actor, Vehicle):
        return []
    params, places = actor.params, wheel_places(actor.params)
    names = [f"Wheel_{axle}_{side}" for axle in _AXLES for side in ("Left", "Right")]
    wheels = [
        Part(name, Pose(x, y, params.wheel_radius, yaw=actor.wheel_steer_angle(wheel)))
        for wheel, (name, (x, y)) in enumerate(zip(names, places, strict=False))
    ]
    return [Part("Vehicle_Base", _ORIGIN), *wheels]


def hanging_bones(actor: Actor) -> list[Part]:
    """The same bones in the frames of those that they hang on: a vehicle's on its first, which is at its origin."""
    return _parts(actor.skeleton.relative(*actor.gait)) if isinstance(actor, Walker) else bones(actor)


def _parts(placed: dict[str, Pose]) -> list[Part]:
    return [Part(name, pose) for name, pose in placed.items()]


def lever(actor: Actor, x: float, y: float) -> tuple[float, float]:
    """From the middle of the actor's box to a place in the world, in the world's plane, m."""
    pose, offset = actor.pose, actor.box_centre[0]
    yaw_rad = math.radians(pose.yaw)
    return x - pose.x - offset * math.cos(yaw_rad), y - pose.y - offset * math.sin(yaw_rad)
