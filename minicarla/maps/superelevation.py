"""Superelevation of an OpenDRIVE map: the roll of a road about its reference line (OpenDRIVE 1.4H, 5.3.6.1).

`carla.Map` reads it and leaves it out of waypoints, whose z is the elevation alone and whose roll is 0. CARLA's own
towns have none; where a file has it, the lanes' edges here are tilted, so that the road is driven and seen as it says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np

_MAX_TILT_RAD = math.radians(60.0)  # beyond, a slip of the pen


@dataclass(frozen=True)
class Profile:
    """A piecewise cubic along a road: `start` [P] m, rising; `coefficients` [P, 4] of the powers of s - start."""

    start: np.ndarray
    coefficients: np.ndarray

    @classmethod
    def of(cls, elements: Sequence[ET.Element]) -> "Profile":
        """Of elements with s, a, b, c and d; 0 before the first."""
        rows = sorted([float(element.get(key, "0")) for key in "sabcd"] for element in elements)
        table = np.array([[-math.inf, 0.0, 0.0, 0.0, 0.0], *rows])
        return cls(table[:, 0], table[:, 1:])

    def at(self, s: np.ndarray) -> np.ndarray:
        """[N] values at `s` [N] m."""
        piece = np.searchsorted(self.start, s, side="right") - 1
        a, b, c, d = self.coefficients[piece].T
        ds = np.where(piece > 0, s - self.start[piece], 0.0)
        return a + ds * (b + ds * (c + ds * d))


@dataclass(frozen=True)
class Banking:
    """How a road lies to its sides: its roll (rad, positive falls to the right) and where its lane 0 is (m, left)."""

    roll: Profile
    lane_offset: Profile

    def rise(self, s: np.ndarray) -> np.ndarray:
        """[N] dz/dt at `s` [N] m: what a metre to the left lifts."""
        return np.tan(np.clip(self.roll.at(s), -_MAX_TILT_RAD, _MAX_TILT_RAD))


def banked_roads(root: ET.Element) -> dict[int, Banking]:
    """By road id, the roads that are tilted anywhere."""
    banked = {}
    for road in root.iterfind("road"):
        elements = road.findall("lateralProfile/superelevation")
        if any(float(element.get(key, "0")) != 0.0 for element in elements for key in "abcd"):
            offsets = Profile.of(road.findall("lanes/laneOffset"))
            banked[int(road.get("id", "-1"))] = Banking(Profile.of(elements), offsets)
    return banked
