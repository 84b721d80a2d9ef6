"""Which gear a vehicle is in, and how fast its engine turns: they follow the speed, and do not drive the car.

The automatic gearbox changes one gear a step, up beyond `up` of the engine's largest speed and down below `down` of
it, as PhysX's does; that one then waits before it changes again, this one keeps the two speeds apart. A change takes no
time. Only a gear chosen by hand acts on the drive: see `hand_share`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from numba.extending import register_jitable

from minicarla.physics.rows import Control, Drive, Tuning, VehicleState

# PhysX's defaults, which Unreal's and CARLA's vehicles start from: (ratio, down, up) of each gear forward.
FORWARD_GEARS = ((4.0, 0.5, 0.65), (2.0, 0.5, 0.65), (1.5, 0.5, 0.65), (1.1, 0.5, 0.65), (1.0, 0.5, 0.65))
FINAL_RATIO = 4.0
MAX_RPM = 6000.0
NEUTRAL, REVERSE = 0, -1
MIN_RATIO = 1e-3


@dataclass(frozen=True, slots=True)
class Gears:
    """The ratios, as speeds of the car (m/s): where each gear changes up and down, and where the engine can no more."""

    up: tuple[float, ...]
    down: tuple[float, ...]
    top: tuple[float, ...]
    max_rpm: float

    @classmethod
    def of(cls, forward: Sequence[Sequence[float]], final_ratio: float, max_rpm: float, wheel_radius: float) -> "Gears":
        """From (ratio, down, up) of each gear; ValueError where no engine could turn."""
        if not forward or min(final_ratio, max_rpm, *(ratio for ratio, _, _ in forward)) < MIN_RATIO:
            raise ValueError(
                f"max_rpm, final_ratio and at least one forward gear's ratio must be {MIN_RATIO:g} or more"
            )
        round_per_s = max_rpm / 60.0
        top = tuple(2.0 * math.pi * wheel_radius * round_per_s / (ratio * final_ratio) for ratio, _, _ in forward)
        up = tuple(part * speed for (_, _, part), speed in zip(forward, top, strict=True))
        parts = [part for _, part, _ in forward]
        # In the gear below the engine is to be as slow too, or that gear would change up again at once.
        below = [min(part * speed, change) for part, speed, change in zip(parts[1:], top[:-1], up[:-1], strict=True)]
        down = tuple(min(part * speed, least) for part, speed, least in zip(parts, top, [0.0, *below], strict=True))
        return cls(up, down, top, max_rpm)

    @property
    def gear_count(self) -> int:
        return len(self.top)

    def rpm(self, gear: int, speed: float, throttle: float) -> float:
        """Speed of the engine, turns a minute; out of gear it follows the pedal."""
        if gear == NEUTRAL:
            return throttle * self.max_rpm
        return min(speed / top_speed(self, gear), 1.0) * self.max_rpm


@register_jitable
def change_gear(state: VehicleState, control: Control, drive: Drive, tuning: Tuning) -> None:
    """The gear of the coming step."""
    speed = math.hypot(state.vx, state.vy)
    if drive.manual_gear:
        if control.reverse:
            drive.gear = REVERSE
        control.reverse = drive.gear < NEUTRAL
        control.hand_gear = hand_share(tuning, drive.gear, speed)
    else:
        drive.gear = REVERSE if control.reverse else automatic(tuning, drive.gear, speed)
        control.hand_gear = 1.0


@register_jitable
def automatic(gears: "Gears | Tuning", gear: int, speed: float) -> int:
    """The gear that follows `gear` at a speed of `speed` >= 0 m/s."""
    if not 1 <= gear <= gears.gear_count:
        return 1
    if speed > gears.up[gear - 1] and gear < gears.gear_count:
        return gear + 1
    if speed < gears.down[gear - 1] and gear > 1:
        return gear - 1
    return gear


@register_jitable
def hand_share(gears: "Gears | Tuning", gear: int, speed: float) -> float:
    """Part of first gear's force that a gear chosen by hand gives: none in neutral and at the engine's limit."""
    limit = top_speed(gears, gear)
    if gear == NEUTRAL or speed >= limit:
        return 0.0
    return gears.top[0] / limit


@register_jitable
def top_speed(gears: "Gears | Tuning", gear: int) -> float:
    """What the engine can do in a gear, m/s."""
    return gears.top[min(max(abs(gear), 1), gears.gear_count) - 1]
