"""From what a lidar's rays meet to the points that it sends. Compiled by numba."""

import math

import numpy as np
from numba import njit

from minicarla.numba_cache import CACHE


@njit(cache=CACHE, error_model="numpy")
def lidar_points(
    nearness: np.ndarray, faces: np.ndarray, elevation: np.ndarray, azimuth: np.ndarray, row_of: np.ndarray,
    column_of: np.ndarray, general: np.ndarray, general_rate: float, survival: np.ndarray, intensity_limit: float,
    alpha: float, beta: float, attenuation: float, noise: np.ndarray, points: np.ndarray, counts: np.ndarray,
) -> int:  # fmt: skip
    """The points of `sensor.lidar.ray_cast`; how many there are.

    CARLA's ARayCastLidar: intensity exp(-attenuation d); a share `general_rate` of all rays is lost, and of the points
    that are not brighter than the limit a share 1 - (alpha intensity + beta); noise moves a point along its ray.

    Args:
      nearness, faces: [R, C], from `RayCaster.cast_fan`. elevation: [R], azimuth: [C], rad, of its fan.
      row_of: [H] int64, row of each channel. column_of: [P] int64, column of each point of a channel, in time.
      general, survival: [H, P] float32 in [0, 1). noise: [H, P] float32, m; [0, 0] for none.
      points: [H P, 4] float32, written: x, y, z (m, the sensor's frame), intensity. counts: [H] uint32, written.
    """
    total = 0
    for channel in range(row_of.size):
        row, first = row_of[channel], total
        flat, up = math.cos(elevation[row]), math.sin(elevation[row])
        for k in range(column_of.size):
            column = column_of[k]
            if faces[row, column] < 0 or general[channel, k] < general_rate:
                continue
            distance = 1.0 / nearness[row, column]
            intensity = math.exp(-attenuation * distance)
            if intensity <= intensity_limit and not survival[channel, k] < alpha * intensity + beta:
                continue
            if noise.size > 0:
                distance += noise[channel, k]
            points[total, 0] = distance * flat * math.cos(azimuth[column])
            points[total, 1] = distance * flat * math.sin(azimuth[column])
            points[total, 2] = distance * up
            points[total, 3] = intensity
            total += 1
        counts[channel] = total - first
    return total


@njit(cache=CACHE, error_model="numpy")
def semantic_points(
    nearness: np.ndarray, faces: np.ndarray, elevation: np.ndarray, azimuth: np.ndarray, row_of: np.ndarray,
    column_of: np.ndarray, axes: np.ndarray, normals: np.ndarray, owners: np.ndarray, tags: np.ndarray,
    points: np.ndarray, words: np.ndarray, counts: np.ndarray,
) -> int:  # fmt: skip
    """The points of `sensor.lidar.ray_cast_semantic`; how many there are.

    Args:
      nearness .. column_of, counts: see `lidar_points`.
      axes: [3, 3] float64, forward, right and up of the sensor in the world.
      normals: [F, 3] float32; owners: [F] uint32; tags: [F] uint8: of the stage's faces.
      points: [H P, 6] float32, written: x, y, z (m, the sensor's frame), cosine of the angle to the face's normal.
      words: [H P, 6] uint32, the same memory, written: actor id and class tag in the last two.
    """
    total = 0
    for channel in range(row_of.size):
        row, first = row_of[channel], total
        flat, up = math.cos(elevation[row]), math.sin(elevation[row])
        for k in range(column_of.size):
            column = column_of[k]
            face = faces[row, column]
            if face < 0:
                continue
            x, y = flat * math.cos(azimuth[column]), flat * math.sin(azimuth[column])
            cosine = 0.0
            for axis in range(3):
                cosine -= (x * axes[0, axis] + y * axes[1, axis] + up * axes[2, axis]) * normals[face, axis]
            distance = 1.0 / nearness[row, column]
            points[total, 0] = distance * x
            points[total, 1] = distance * y
            points[total, 2] = distance * up
            points[total, 3] = cosine
            words[total, 4] = owners[face]
            words[total, 5] = tags[face]
            total += 1
        counts[channel] = total - first
    return total
