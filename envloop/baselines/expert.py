"""A scripted driver that obeys the lights and waits for others: what can be had where the simulator tells everything.

Speed: the least of the Intelligent Driver Model's accelerations (Treiber, Hennecke, Helbing 2000, Phys. Rev. E 62) for
each obstacle of `right_of_way`, and of what the legal speed asks for. Who is on the road or beside it is passed slowly:
no picture shows who is about to step on it. Steering: pure pursuit.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envloop.baselines.route_follower import DriverConfig, pure_pursuit
from envloop.task.right_of_way import Obstacle, Outlook
from envloop.task.route import Projection, Route, SpeedProfile, SpeedRules

_STANDING_MPS = 0.15
_AT_LINE_M = 0.3  # left in front of what no room need be left for
_HOLDING = -0.3  # the brake that keeps it where it stands


@dataclass(frozen=True, slots=True)
class ExpertConfig:
    """How it drives.

    Attributes:
      accel, braking: comfortable, m/s^2: the model's a and b.
      headway_s: time gap to who drives ahead.
      stand_m: distance to who stands ahead.
      creep_m: who has come to stand no further than this from where it is to stand does not creep nearer.
      braking_max: m/s^2.
      jerk: at which it speeds up or eases the brake, m/s^3.
      jerk_braking: at which it begins to brake, m/s^3; harder where `accel_urgent` is asked for.
      accel_urgent: m/s^2.
      bend_accel, bend_braking: of its own speed in bends, within the legal one; see SpeedRules.
      drive_gain, drag_per_s, brake_gain: acceleration at full throttle (m/s^2), drag by speed (1/s), deceleration at
        full brake (m/s^2) of a Model 3.
      speed_gain: of the feedback on speed that makes up for what they miss, 1/s.
    """

    accel: float = 1.6
    braking: float = 1.8
    headway_s: float = 0.9
    stand_m: float = 2.5
    creep_m: float = 2.0
    braking_max: float = 7.0
    jerk: float = 2.0
    jerk_braking: float = 3.5
    accel_urgent: float = -3.0
    bend_accel: float = 2.0
    bend_braking: float = 1.3
    drive_gain: float = 4.7
    drag_per_s: float = 0.12
    brake_gain: float = 7.5
    speed_gain: float = 1.0


AT_ONCE = ExpertConfig(jerk=math.inf, jerk_braking=math.inf, speed_gain=0.0)
"""Without memory: what it does is a function of what is there now. One who sees no more than that can learn it."""


class Expert:
    """Drives one episode on one route; `obstacles` are those of the last `act`, the first of them what it obeyed."""

    def __init__(self, route: Route, rules: SpeedRules, config: ExpertConfig | None = None) -> None:
        self._route = route
        self._config = config or ExpertConfig()
        lateral = min(rules.lateral_accel, self._config.bend_accel)
        braking = min(rules.braking, self._config.bend_braking)
        self._profile = SpeedProfile(route, SpeedRules(rules.limit_mps, lateral, braking))
        self._steering = DriverConfig()
        self._accel = 0.0
        self._speed: float | None = None  # that it means to have
        self.obstacles: list[Obstacle] = []

    def act(self, outlook: Outlook, projection: Projection, dt_s: float) -> NDArray[np.float32]:
        """[2] float32 in [-1, 1]: steer (right positive), then throttle (> 0) or brake (<= 0).

        Args:
          outlook: on this route, from where the ego is now.
          projection: of the ego on the route.
          dt_s: until it is asked again, s.
        """
        speed = outlook.ego.speed_mps
        self.obstacles = sorted(outlook.obstacles(self._profile.at), key=lambda each: self._behind(each, speed))
        wanted = min([self._free(outlook), *(self._behind(each, speed) for each in self.obstacles[:1])])
        if speed < _STANDING_MPS:
            wanted = min(wanted, 0.0) if self._stays() else wanted
            self._accel = min(self._accel, 0.0) if wanted <= 0.0 else max(self._accel, 0.0)  # brakes let go at once
        self._accel = self._eased(max(wanted, -self._config.braking_max), dt_s)
        steer = pure_pursuit(outlook.ego, self._route, projection, self._steering)
        return np.array([steer, self._pedal(speed, dt_s)], dtype=np.float32)

    def _stays(self) -> bool:
        """Whether it stands near enough to what stands there."""
        first = next(iter(self.obstacles), None)
        if first is None or first.speed_mps >= _STANDING_MPS:
            return False
        return first.gap_m < self._room(first) + self._config.creep_m

    def _room(self, obstacle: Obstacle) -> float:
        """Free metres to leave in front of an obstacle."""
        return _AT_LINE_M if obstacle.stands else self._config.stand_m

    def _free(self, outlook: Outlook) -> float:
        """Acceleration towards the speed of the road, and that at which people beside it are passed, m/s^2."""
        config, s, speed = self._config, outlook.s, outlook.ego.speed_mps
        passed_m = min((each.gap_m for each in outlook.passed), default=math.inf)
        passing_mps = outlook.caution.passing_mps
        ahead = max(0.5 * speed, 1.0)
        legal = min(self._profile.at(s), self._towards_people(passed_m, passing_mps))
        soon = min(self._profile.at(s + ahead), self._towards_people(passed_m - ahead, passing_mps))
        falls = (soon**2 - legal**2) / (2.0 * ahead)
        towards = 1.2 * (legal - speed) + min(0.0, falls)
        return min(config.accel, max(towards, -2.0 * config.braking))

    def _towards_people(self, gap_m: float, passing_mps: float) -> float:
        """The speed from which it can still slow down to `passing_mps` where they are, m/s."""
        return math.sqrt(passing_mps**2 + 2.0 * self._config.braking * max(gap_m, 0.0))

    def _behind(self, obstacle: Obstacle, speed: float) -> float:
        """The model's acceleration behind an obstacle, m/s^2."""
        config = self._config
        closing = speed - obstacle.speed_mps
        headway = 0.3 if obstacle.stands else config.headway_s
        braking = speed * closing / (2.0 * math.sqrt(config.accel * config.braking))
        wished = self._room(obstacle) + max(0.0, speed * headway + braking)
        gap = max(obstacle.gap_m, 0.05)
        free = 1.0 - (speed / self._profile.rules.limit_mps) ** 4
        return config.accel * (free - (wished / gap) ** 2)

    def _eased(self, wanted: float, dt_s: float) -> float:
        """`wanted`, no further from the last acceleration than comfort allows; what is urgent is done at once."""
        config = self._config
        if wanted <= config.accel_urgent:
            return wanted
        return min(max(wanted, self._accel - config.jerk_braking * dt_s), self._accel + config.jerk * dt_s)

    def _pedal(self, speed: float, dt_s: float) -> float:
        """Throttle or brake for the acceleration."""
        config = self._config
        if speed < _STANDING_MPS and self._accel <= 0.0:
            self._speed = None
            return _HOLDING
        meant = speed if self._speed is None else self._speed
        self._speed = min(max(meant + self._accel * dt_s, speed - 0.5, 0.0), speed + 0.5)
        missed = self._speed - speed - self._accel * dt_s
        asked = self._accel + config.speed_gain * missed + config.drag_per_s * (speed + 1.0)
        if asked >= 0.0:
            return min(1.0, asked / (config.drive_gain + config.drag_per_s * speed))
        return max(-1.0, asked / config.brake_gain)
