"""Volumes in which tyres have another friction: `static.trigger.friction`.

As on CARLA a vehicle gets the volume's friction on all its wheels when it touches the volume, and its own back when it
leaves. In several volumes the oldest counts.
"""

import math
from collections.abc import Iterable, Sequence

from minicarla.geometry.boxes import Box, penetration
from minicarla.world.actors import FrictionTrigger, Vehicle
from minicarla.world.physics_control import set_trigger_friction


def update(vehicles: Iterable[Vehicle], triggers: Sequence[FrictionTrigger]) -> None:
    """Gives every vehicle the friction of where it is now."""
    volumes = [(_box(trigger), trigger.friction) for trigger in triggers]
    for vehicle in vehicles:
        body = vehicle.body.box()
        friction = next((value for box, value in volumes if penetration(body, box) is not None), None)
        if friction != vehicle.trigger_friction:
            set_trigger_friction(vehicle, friction)


def _box(trigger: FrictionTrigger) -> Box:
    pose, (ex, ey, ez) = trigger.pose, trigger.extent
    return Box(pose.x, pose.y, math.radians(pose.yaw), ex, ey, pose.z - ez, pose.z + ez)
