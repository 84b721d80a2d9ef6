"""Spans: pixels side by side in one row of a picture that see one face, or the sky. Compiled by numba.

The loops are written in 32-bit numbers, without table look-ups and branches, so that the compiler turns them into
vector instructions: measured, a sixth of the time. They go by whole blocks, for most spans are short: whoever calls
them gives them room, a multiple of `BLOCK` pixels, and paints what follows the span later.
"""

import numpy as np
from numba import njit

from minicarla.numba_cache import CACHE

_f = np.float32
Triple = tuple[np.float32, np.float32, np.float32]
Pair = tuple[np.float32, np.float32]
SKY_SIZE = 512
BLOCK = 16  # pixels
_ZERO, _HALF, _ONE, _WHITE = _f(0.0), _f(0.5), _f(1.0), _f(255.0)
REFLECTED = _f(0.8)  # of the horizon's brightness, by water
_CELL_OFFSET = _f(65536.0)  # lifts coordinates above zero, so that truncation rounds down
_PATCH_PER_M, _GRAIN_PER_M = _f(0.45), _f(5.0)
_PATCH_FADE, _GRAIN_FADE = _f(1.0 / 90.0), _f(1.0 / 35.0)  # per m: where a texel shrinks below a pixel
_PUDDLE_PER_M = _f(0.6)
_FLOOR_M, _BAY_M = _f(3.1), _f(2.7)
_SILL_M, _LINTEL_M, _JAMB_M = _f(0.95), _f(2.35), _f(0.75)  # of a window: edges in its floor, wall on either side
_WALL_END_M = _f(0.6)  # without windows, on both ends of a wall together
_LAMPLIGHT = (_f(190.0), _f(145.0), _f(100.0))
_AT_HOME = _f(0.45)  # windows with a number above it are lit at night


def sky_directions() -> np.ndarray:
    """[SKY_SIZE, SKY_SIZE, 3] float32: unit direction of each texel of the sky's picture.

    The upper half of an octahedron seen from above: texel (t, s) looks along (x, y) = (s, t) / |.|_1. Looking a
    direction up costs one division.
    """
    texel = (np.arange(SKY_SIZE) + 0.5) / (0.5 * SKY_SIZE) - 1.0
    x, y = np.meshgrid(texel, texel)
    direction = np.stack([x, y, np.maximum(1.0 - np.abs(x) - np.abs(y), 0.0)], axis=2)
    return (direction / np.linalg.norm(direction, axis=2, keepdims=True)).astype(np.float32)


@njit(cache=CACHE, error_model="numpy")
def transmission(distance: np.float32, per_m: np.float32, start: np.float32) -> np.float32:
    """Share of light that fog lets through, exp(-t) by the reciprocal of its series: no call, so it vectorises."""
    t = per_m * max(distance - start, _ZERO)
    return _ONE / (_ONE + t * (_ONE + t * (_HALF + t * (_f(1.0 / 6.0) + t * _f(1.0 / 24.0)))))


@njit(cache=CACHE)
def _hash(column: np.int32, row: np.int32) -> np.float32:
    """A number in [-1, 1) that belongs to a cell of a grid."""
    mixed = np.uint32(np.uint32(column) * np.uint32(73856093)) ^ np.uint32(np.uint32(row) * np.uint32(19349663))
    mixed = np.uint32((mixed ^ (mixed >> np.uint32(13))) * np.uint32(1274126177))
    return _f(np.int32((mixed >> np.uint32(9)) & np.uint32(0xFFFF))) * _f(1.0 / 32768.0) - _ONE


@njit(cache=CACHE)
def _value_noise(x: np.float32, y: np.float32) -> np.float32:
    """Smooth noise in [-1, 1] with one random value a unit."""
    x, y = x + _CELL_OFFSET, y + _CELL_OFFSET
    column, row = np.int32(x), np.int32(y)
    s, t = x - _f(column), y - _f(row)
    upper = _hash(column, row) * (_ONE - s) + _hash(np.int32(column + 1), row) * s
    lower = _hash(column, np.int32(row + 1)) * (_ONE - s) + _hash(np.int32(column + 1), np.int32(row + 1)) * s
    return upper * (_ONE - t) + lower * t


@njit(cache=CACHE)
def _band(value: np.float32, low: np.float32, high: np.float32, sharp: np.float32) -> np.float32:
    """Share of a pixel, 1 / sharp wide around `value`, that lies between low and high."""
    rise = min(max((value - low) * sharp + _HALF, _ZERO), _ONE)
    fall = min(max((value - high) * sharp + _HALF, _ZERO), _ONE)
    return rise - fall


@njit(cache=CACHE)
def pack(red: np.float32, green: np.float32, blue: np.float32) -> np.uint32:
    """A pixel of four bytes, BGRA from the lowest; colours are 0..255 and are not checked."""
    high = (np.int32(red + _HALF) << 16) | (np.int32(green + _HALF) << 8)
    return np.uint32(np.uint32(0xFF000000) | np.uint32(high) | np.uint32(np.int32(blue + _HALF)))


@njit(cache=CACHE, error_model="numpy")
def sky_texel(dx: np.float32, dy: np.float32, dz: np.float32, sky: np.ndarray) -> np.uint32:
    """The sky in a direction of any length; what looks down past the end of the ground sees the horizon's rim."""
    half = _f(0.5 * SKY_SIZE)
    scale = half / (abs(dx) + abs(dy) + abs(dz))
    s = min(np.int32(half + dx * scale), np.int32(SKY_SIZE - 1))
    t = min(np.int32(half + dy * scale), np.int32(SKY_SIZE - 1))
    return sky[np.uint32(t), np.uint32(s)]


@njit(cache=CACHE)
def paint_sky(out: np.ndarray, ray: Triple, ray_step: Triple, sky: np.ndarray) -> None:
    """A span of sky. ray: direction of the first pixel, of any length; ray_step: to the next."""
    for block in range(0, out.size, BLOCK):
        part = out[block : block + BLOCK]
        for k in range(BLOCK):
            i = _f(np.int32(block + k))
            part[k] = sky_texel(ray[0] + i * ray_step[0], ray[1] + i * ray_step[1], ray[2] + i * ray_step[2], sky)


@njit(cache=CACHE, error_model="numpy")
def paint_plain(
    out: np.ndarray,
    near: np.float32,
    near_step: np.float32,
    colour: Triple,
    haze: Triple,
    fog: Pair,
) -> None:
    """A span of one evenly coloured face. near, near_step: 1/z of the first pixel, and from one to the next."""
    for block in range(0, out.size, BLOCK):
        part = out[block : block + BLOCK]
        for k in range(BLOCK):
            clear = transmission(_ONE / (near + _f(np.int32(block + k)) * near_step), fog[0], fog[1])
            part[k] = pack(
                haze[0] + clear * (colour[0] - haze[0]),
                haze[1] + clear * (colour[1] - haze[1]),
                haze[2] + clear * (colour[2] - haze[2]),
            )


@njit(cache=CACHE, error_model="numpy")
def paint_ground(
    out: np.ndarray, near: np.float32, near_step: np.float32, colour: Triple, haze: Triple, fog: Pair,
    eye: Triple, ray: Triple, ray_step: Triple, roughness: np.float32,
) -> None:  # fmt: skip
    """A span of dry, rough ground: wide patches, and near the camera a finer grain."""
    for block in range(0, out.size, BLOCK):
        part = out[block : block + BLOCK]
        for k in range(BLOCK):
            i = _f(np.int32(block + k))
            distance = _ONE / (near + i * near_step)
            x, y = eye[0] + distance * (ray[0] + i * ray_step[0]), eye[1] + distance * (ray[1] + i * ray_step[1])
            patches = _value_noise(_PATCH_PER_M * x, _PATCH_PER_M * y) * max(_ZERO, _ONE - distance * _PATCH_FADE)
            grain = _hash(np.int32(_GRAIN_PER_M * x + _CELL_OFFSET), np.int32(_GRAIN_PER_M * y + _CELL_OFFSET))
            grain *= max(_ZERO, _ONE - distance * _GRAIN_FADE)
            factor = transmission(distance, fog[0], fog[1]) * (_ONE + roughness * (patches + _HALF * grain))
            veil = _ONE - transmission(distance, fog[0], fog[1])
            part[k] = pack(
                min(veil * haze[0] + factor * colour[0], _WHITE),
                min(veil * haze[1] + factor * colour[1], _WHITE),
                min(veil * haze[2] + factor * colour[2], _WHITE),
            )


@njit(cache=CACHE)
def reflection(x: np.float32, y: np.float32, ray_z: np.float32, sheen: np.float32, puddles: np.float32) -> np.float32:
    """Share of the horizon's light that wet asphalt at (x, y) reflects: more for flat rays, most in puddles."""
    grazing = max(_ONE - _f(2.0) * abs(ray_z), _ZERO)
    height = _HALF * (_value_noise(_PUDDLE_PER_M * x, _PUDDLE_PER_M * y) + _ONE)
    pool = min(max((puddles - height) * _f(6.0), _ZERO), _ONE) * (_f(0.2) + _HALF * grazing)
    return max(sheen * grazing * grazing * grazing, pool)


@njit(cache=CACHE, error_model="numpy")
def paint_wet(
    out: np.ndarray, near: np.float32, near_step: np.float32, colour: Triple, haze: Triple, fog: Pair,
    eye: Triple, ray: Triple, ray_step: Triple, sheen: np.float32, puddles: np.float32,
) -> None:  # fmt: skip
    """A span of wet asphalt."""
    for block in range(0, out.size, BLOCK):
        part = out[block : block + BLOCK]
        for k in range(BLOCK):
            i = _f(np.int32(block + k))
            distance = _ONE / (near + i * near_step)
            x, y = eye[0] + distance * (ray[0] + i * ray_step[0]), eye[1] + distance * (ray[1] + i * ray_step[1])
            mirror = reflection(x, y, ray[2] + i * ray_step[2], sheen, puddles)
            clear = transmission(distance, fog[0], fog[1])
            keep, veil = clear * (_ONE - mirror), _ONE - clear + REFLECTED * clear * mirror
            part[k] = pack(
                veil * haze[0] + keep * colour[0], veil * haze[1] + keep * colour[1], veil * haze[2] + keep * colour[2]
            )


@njit(cache=CACHE, error_model="numpy")
def paint_facade(
    out: np.ndarray, near: np.float32, near_step: np.float32, colour: Triple, haze: Triple, fog: Pair,
    eye: Triple, ray: Triple, ray_step: Triple,
    per_pixel: np.float32, window: np.ndarray, glass: Triple, night: np.float32,
) -> None:  # fmt: skip
    """A span of wall with rows of windows. per_pixel: a pixel's angle, rad; window: see `scene.StaticScene.windows`."""
    along_x, along_y, left_x, left_y, foot = window[3], window[4], window[0], window[1], window[2]
    bays = np.int32((window[5] - _WALL_END_M) / _BAY_M)
    margin = _HALF * (window[5] - _f(bays) * _BAY_M)
    offset = (eye[0] - left_x) * along_x + (eye[1] - left_y) * along_y - margin
    salt_x, salt_y = np.int32(left_x), np.int32(left_y)
    for block in range(0, out.size, BLOCK):
        part = out[block : block + BLOCK]
        for k in range(BLOCK):
            i = _f(np.int32(block + k))
            distance = _ONE / (near + i * near_step)
            dx, dy, dz = ray[0] + i * ray_step[0], ray[1] + i * ray_step[1], ray[2] + i * ray_step[2]
            u = offset + distance * (dx * along_x + dy * along_y)
            z = eye[2] - foot + distance * dz
            bay = np.int32(u / _BAY_M + _CELL_OFFSET) - np.int32(_CELL_OFFSET)
            floor = np.int32(z / _FLOOR_M + _CELL_OFFSET) - np.int32(_CELL_OFFSET)
            sharp = _ONE / (distance * per_pixel)
            oblique = max(abs(dx * along_y - dy * along_x), _f(0.15))
            share = _band(z - _f(floor) * _FLOOR_M, _SILL_M, _LINTEL_M, sharp)
            share *= _band(u - _f(bay) * _BAY_M, _JAMB_M, _BAY_M - _JAMB_M, sharp * oblique)
            share = share if (bay >= 0) & (bay < bays) else _ZERO
            # A number of the window's own: how bright its curtains are, and whether someone is in at night.
            number = _hash(np.int32(bay + 31 * salt_x), np.int32(floor + 17 * salt_y))
            lamp = night if number > _AT_HOME else _ZERO
            pane = (_ONE + _f(0.25) * number) * (_ONE - lamp)
            red = colour[0] + share * (glass[0] * pane + lamp * _LAMPLIGHT[0] - colour[0])
            green = colour[1] + share * (glass[1] * pane + lamp * _LAMPLIGHT[1] - colour[1])
            blue = colour[2] + share * (glass[2] * pane + lamp * _LAMPLIGHT[2] - colour[2])
            clear = transmission(distance, fog[0], fog[1])
            part[k] = pack(
                haze[0] + clear * (red - haze[0]),
                haze[1] + clear * (green - haze[1]),
                haze[2] + clear * (blue - haze[2]),
            )
