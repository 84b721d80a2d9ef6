"""What the shading reads of the light: a vector of scalars and the sky's picture."""

from dataclasses import dataclass

import numpy as np

from minicarla.render import shading
from minicarla.render.spans import sky_directions
from minicarla.render.weather import Light

_GLASS = np.array([52.0, 62.0, 74.0])
_GLOW = np.array([0.35, 0.24, 0.12], np.float32)
_CLOUD_SCALE = 9.0
_NOISE_SIZE = 256


def light_scalars(light: Light) -> np.ndarray:
    """[LIGHT_SCALARS] float32 in the order that `shading` names."""
    values = np.zeros(shading.LIGHT_SCALARS, np.float32)
    values[shading.NIGHT], values[shading.SHEEN] = light.night, light.sheen
    values[shading.PUDDLES] = light.puddles
    values[shading.FOG_PER_M], values[shading.FOG_START] = light.fog_per_m, light.fog_start_m
    values[shading.HAZE_R : shading.HAZE_B + 1] = 255.0 * light.horizon
    values[shading.GLASS_R : shading.GLASS_B + 1] = _GLASS * (light.ambient + 0.3 * light.direct)
    return values


@dataclass(frozen=True)
class SkyDome:
    """What does not depend on the weather, for each of the T texels of `spans.sky_directions`.

    direction: [T, T, 3] float32, unit. billows: [T, T] float32 in [-1, 1], how thick clouds tend to be.
    """

    direction: np.ndarray
    billows: np.ndarray


def sky_dome() -> SkyDome:
    """The dome, with clouds on a plane above the town."""
    direction = sky_directions()
    height = np.maximum(direction[..., 2], 0.02)
    x, y = (_CLOUD_SCALE * direction[..., axis] / height for axis in (0, 1))
    noise = _cloud_noise()
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    s, t = x - column, y - row
    left, right, upper, lower = (value & (_NOISE_SIZE - 1) for value in (column, column + 1, row, row + 1))
    above = noise[upper, left] * (1.0 - s) + noise[upper, right] * s
    below = noise[lower, left] * (1.0 - s) + noise[lower, right] * s
    return SkyDome(direction, (above * (1.0 - t) + below * t).astype(np.float32))


def _cloud_noise(seed: int = 7) -> np.ndarray:
    """[256, 256] float32 in [-1, 1], smooth and seamless: noise with a falling spectrum."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(_NOISE_SIZE)
    size = np.hypot(frequency[:, None], frequency[None, :])
    size[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal((_NOISE_SIZE, _NOISE_SIZE))) / size**1.6
    noise = np.fft.ifft2(spectrum).real
    return np.clip(noise / (2.5 * noise.std()), -1.0, 1.0).astype(np.float32)


def sky_picture(light: Light, dome: SkyDome) -> np.ndarray:
    """[T, T] uint32 BGRA: a gradient, clouds, and the sun's glow."""
    up = dome.direction[..., 2]
    rise = np.minimum(np.float32(1.9) * up, np.float32(1.0))
    rise *= np.float32(2.0) - rise
    thickness = np.float32(1.4) * (dome.billows + np.float32(1.6 * light.clouds - 0.9))
    cloud = np.float32(0.6) * np.clip(thickness, 0.0, 1.0) * np.clip(np.float32(5.0) * up, 0.0, 1.0)
    facing = np.maximum((dome.direction * light.to_sun).sum(axis=2), np.float32(0.0))
    facing8 = np.square(np.square(np.square(facing)))
    glow = np.float32(light.glow) * (
        np.float32(0.35) * facing8 + np.float32(1.5) * np.square(np.square(np.square(facing8)))
    )
    # Haze thickens towards the horizon as over the ground, so that far roofs and sky meet without an edge.
    clear = np.exp(np.float32(-300.0 * light.fog_per_m) / (np.float32(1.0) + np.float32(40.0) * up))
    packed = np.full(up.shape, 0xFF000000, np.uint32)
    for channel, shift in enumerate((16, 8, 0)):
        horizon, zenith = light.horizon[channel], light.zenith[channel]
        sky = horizon + rise * (zenith - horizon)
        sky += cloud * (np.float32(1.1) * horizon + np.float32(0.03) - sky)
        sky += glow * _GLOW[channel]
        sky = horizon + clear * (sky - horizon)
        packed |= (np.clip(sky, 0.0, 1.0) * np.float32(255.0) + np.float32(0.5)).astype(np.uint32) << np.uint32(shift)
    return packed
