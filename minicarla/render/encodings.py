"""Pixel encodings of CARLA's cameras: class tags, 24-bit depth, pinhole intrinsics."""

import enum
import math

import numpy as np

DEPTH_RANGE_M = 1000.0
DEPTH_STEPS = 2**24 - 1


class Tag(enum.IntEnum):
    """Semantic class in the red channel, the values of `carla.CityObjectLabel` in CARLA 0.9.16."""

    NONE = 0
    ROADS = 1
    SIDEWALKS = 2
    BUILDINGS = 3
    POLES = 6
    TRAFFIC_LIGHT = 7
    TRAFFIC_SIGNS = 8
    VEGETATION = 9
    TERRAIN = 10
    SKY = 11
    PEDESTRIANS = 12
    RIDER = 13
    CAR = 14
    TRUCK = 15
    BUS = 16
    MOTORCYCLE = 18
    BICYCLE = 19
    STATIC = 20
    ROAD_LINES = 24
    BRIDGE = 26


def focal_length_px(width: int, fov_deg: float) -> float:
    """Focal length of a pinhole camera in pixels, f = W / (2 tan(fov / 2)); CARLA's fov is horizontal."""
    return width / (2.0 * math.tan(math.radians(fov_deg) / 2.0))


def decode_depth(bgra: np.ndarray) -> np.ndarray:
    """Depth along the optical axis in a picture of CARLA's depth camera.

    (R + 256 G + 65536 B) / (2^24 - 1) * 1000 m   (CARLA documentation, sensors reference, depth camera)

    Args:
      bgra: [H, W, 4] uint8.

    Returns:
      [H, W] float64, m; the sky is at 1000 m.
    """
    wide = bgra.astype(np.float64)
    return (wide[..., 2] + 256.0 * wide[..., 1] + 65536.0 * wide[..., 0]) / DEPTH_STEPS * DEPTH_RANGE_M
