"""From faces to pixels: the rgb picture, class tags, depth; and the actors' light. Compiled by numba."""

import numpy as np
from numba import njit

from minicarla.numba_cache import CACHE
from minicarla.render.encodings import DEPTH_RANGE_M, DEPTH_STEPS, Tag
from minicarla.render.mesh import Material
from minicarla.render.spans import (
    BLOCK,
    REFLECTED,
    Pair,
    Triple,
    pack,
    paint_facade,
    paint_ground,
    paint_plain,
    paint_sky,
    paint_wet,
    reflection,
    sky_texel,
    transmission,
)
from minicarla.render.weather import SIDE_LIGHT

_f = np.float32
_ASPHALT, _GRASS, _FACADE = int(Material.ASPHALT), int(Material.GRASS), int(Material.FACADE)
_EMISSIVE, _PAINT = int(Material.EMISSIVE), int(Material.PAINT)
_SKY_TAG = int(Tag.SKY)
_ZERO, _QUARTER, _HALF, _ONE = _f(0.0), _f(0.25), _f(0.5), _f(1.0)
_ASPHALT_ROUGHNESS, _GRASS_ROUGHNESS = _f(0.06), _f(0.14)

# Layout of the vector of scalars that the light brings.
NIGHT, SHEEN, PUDDLES, FOG_PER_M, FOG_START, HAZE_R, HAZE_G, HAZE_B, GLASS_R, GLASS_G, GLASS_B = range(11)
LIGHT_SCALARS = 11


@njit(cache=CACHE)
def _span_end(upper: np.ndarray, lower: np.ndarray, start: int) -> int:
    """First pixel from `start` on that does not see exactly the face of the upper left sample of `start`.

    upper, lower: [W] int64, the two sample rows of a picture's row; each number holds the faces of two samples.
    """
    face = upper[start] & 0xFFFFFFFF
    both = face | (face << 32)
    end = start
    while end < upper.size and upper[end] == both and lower[end] == both:
        end += 1
    return end


@njit(cache=CACHE, error_model="numpy")
def _edge_pixel(
    faces: np.ndarray, nearness: np.ndarray, row: int, column: int, ray: Triple, eye: Triple, colours: np.ndarray,
    materials: np.ndarray, haze: Triple, fog: Pair, water: Pair, sky: np.ndarray,
) -> np.uint32:  # fmt: skip
    """The mean of four samples of several faces, without their textures. ray: through the pixel's middle."""
    red, green, blue = _ZERO, _ZERO, _ZERO
    for sample in range(4):
        at_row, at_column = 2 * row + (sample >> 1), 2 * column + (sample & 1)
        face, near = faces[at_row, at_column], nearness[at_row, at_column]
        if face < 0:
            texel = sky_texel(ray[0], ray[1], ray[2], sky)
            red += _f(np.int32((texel >> np.uint32(16)) & np.uint32(0xFF)))
            green += _f(np.int32((texel >> np.uint32(8)) & np.uint32(0xFF)))
            blue += _f(np.int32(texel & np.uint32(0xFF)))
            continue
        kind = materials[face]
        clear = _ONE if kind == _EMISSIVE else transmission(_ONE / near, fog[0], fog[1])
        shine = _ZERO
        if kind == _ASPHALT and water[0] + water[1] > _ZERO:
            shine = reflection(eye[0] + ray[0] / near, eye[1] + ray[1] / near, ray[2], water[0], water[1])
        keep, veil = clear * (_ONE - shine), _ONE - clear + REFLECTED * clear * shine
        red += veil * haze[0] + keep * colours[face, 0]
        green += veil * haze[1] + keep * colours[face, 1]
        blue += veil * haze[2] + keep * colours[face, 2]
    return pack(_QUARTER * red, _QUARTER * green, _QUARTER * blue)


@njit(cache=CACHE, error_model="numpy")
def shade_rgb(
    faces: np.ndarray,
    pairs: np.ndarray,
    nearness: np.ndarray,
    camera: np.ndarray,
    focal: float,
    colours: np.ndarray,
    materials: np.ndarray,
    windows: np.ndarray,
    light: np.ndarray,
    sky: np.ndarray,
    picture: np.ndarray,
) -> None:
    """Colours a picture; each pixel is the mean of its 2 x 2 samples.

    A row falls into spans of pixels that see one face and nothing else, and edge pixels between them. Over a span
    everything but the distance is constant or affine.

    Args:
      faces: [2 H, 2 W] int32, nearness: [2 H, 2 W] float32: what the rasteriser found.
      pairs: [2 H, W] int64, the same memory as `faces`, two samples a number.
      camera: [4, 3] float32: forward, right, up, position in the world.
      focal: in samples.
      colours: [F, 3] float32 lit colours, 0..255. materials: [F] uint8. windows: [F', 6] float32, static faces.
      light: [LIGHT_SCALARS] float32, as named above.
      sky: [SKY_SIZE, SKY_SIZE] uint32 BGRA, see `spans.sky_directions`.
      picture: [H, W] uint32, written: BGRA bytes, little-endian.
    """
    height, width = picture.shape
    haze = (light[HAZE_R], light[HAZE_G], light[HAZE_B])
    glass = (light[GLASS_R], light[GLASS_G], light[GLASS_B])
    fog, water = (light[FOG_PER_M], light[FOG_START]), (light[SHEEN], light[PUDDLES])
    wet = water[0] > _ZERO or water[1] > _ZERO
    eye = (camera[3, 0], camera[3, 1], camera[3, 2])
    per_sample, per_pixel = _f(1.0 / focal), _f(2.0 / focal)
    step = (per_pixel * camera[1, 0], per_pixel * camera[1, 1], per_pixel * camera[1, 2])
    line = np.empty(width + BLOCK, np.uint32)
    for row in range(height):
        upper, lower = pairs[2 * row], pairs[2 * row + 1]
        v = _f(2 * row + 1 - height) * per_sample
        column = 0
        while column < width:
            u = _f(2 * column + 1 - width) * per_sample
            ray = (
                camera[0, 0] + u * camera[1, 0] - v * camera[2, 0],
                camera[0, 1] + u * camera[1, 1] - v * camera[2, 1],
                camera[0, 2] + u * camera[1, 2] - v * camera[2, 2],
            )
            end = _span_end(upper, lower, column)
            if end == column:
                line[column] = _edge_pixel(
                    faces, nearness, row, column, ray, eye, colours, materials, haze, fog, water, sky
                )
                column += 1
                continue
            face = faces[2 * row, 2 * column]
            out = line[column : column + (end - column + BLOCK - 1) // BLOCK * BLOCK]
            if face < 0:
                paint_sky(out, ray, step, sky)
                column = end
                continue
            colour = (colours[face, 0], colours[face, 1], colours[face, 2])
            kind = materials[face]
            near = _HALF * (nearness[2 * row, 2 * column] + nearness[2 * row + 1, 2 * column + 1])
            last = _HALF * (nearness[2 * row, 2 * end - 2] + nearness[2 * row + 1, 2 * end - 1])
            near_step = (last - near) / _f(max(end - 1 - column, 1))
            if kind == _ASPHALT and wet:
                paint_wet(out, near, near_step, colour, haze, fog, eye, ray, step, water[0], water[1])
            elif kind == _ASPHALT:
                paint_ground(out, near, near_step, colour, haze, fog, eye, ray, step, _ASPHALT_ROUGHNESS)
            elif kind == _GRASS:
                paint_ground(out, near, near_step, colour, haze, fog, eye, ray, step, _GRASS_ROUGHNESS)
            elif kind == _FACADE:
                paint_facade(
                    out,
                    near,
                    near_step,
                    colour,
                    haze,
                    fog,
                    eye,
                    ray,
                    step,
                    per_pixel,
                    windows[face],
                    glass,
                    light[NIGHT],
                )
            elif kind == _EMISSIVE:
                out[:] = pack(colour[0], colour[1], colour[2])
            else:
                paint_plain(out, near, near_step, colour, haze, fog)
            column = end
        for column in range(width):
            picture[row, column] = line[column]


@njit(cache=CACHE)
def shade_tags(faces: np.ndarray, tags: np.ndarray, picture: np.ndarray) -> None:
    """Class tags into the red channel. faces: [H, W] int32; tags: [F] uint8; picture: [H, W] uint32 BGRA, written."""
    height, width = faces.shape
    for row in range(height):
        for column in range(width):
            face = faces[row, column]
            tag = tags[face] if face >= 0 else _SKY_TAG
            picture[row, column] = np.uint32(0xFF000000 | (int(tag) << 16))


@njit(cache=CACHE)
def shade_depth(nearness: np.ndarray, picture: np.ndarray) -> None:
    """CARLA's 24-bit depth, see `encodings.decode_depth`. nearness: [H, W] float32, 1/m; picture: [H, W] uint32."""
    height, width = nearness.shape
    for row in range(height):
        for column in range(width):
            share = 1.0 / max(DEPTH_RANGE_M * nearness[row, column], 1.0)
            steps = int(share * DEPTH_STEPS + 0.5)
            red, green, blue = steps & 0xFF, (steps >> 8) & 0xFF, steps >> 16
            picture[row, column] = np.uint32(0xFF000000 | (red << 16) | (green << 8) | blue)


@njit(cache=CACHE)
def light_actors(
    mesh_normal: np.ndarray,
    mesh_colour: np.ndarray,
    mesh_material: np.ndarray,
    mesh_start: np.ndarray,
    actor_mesh: np.ndarray,
    actor_to_world: np.ndarray,
    actor_paint: np.ndarray,
    actor_face: np.ndarray,
    drawn: np.ndarray,
    to_sun: np.ndarray,
    direct: np.ndarray,
    ambient: np.ndarray,
    colours: np.ndarray,
) -> None:
    """Lit colours of the actors' faces, by the rule of `scene.lit_colours`.

    Args:
      mesh_normal, mesh_colour: [M, 3] float32, mesh_material: [M] uint8: all meshes' faces in their own frames.
      mesh_start, actor_mesh, actor_to_world, actor_face: see `raster.draw_actors`. actor_paint: [A, 3] float32.
      drawn: [A] bool, the actors that it is done for.
      to_sun, direct, ambient: [3] float32, see `weather.Light`.
      colours: [F, 3] float32, written from each actor's first face on.
    """
    for actor in range(actor_mesh.shape[0]):
        if not drawn[actor]:
            continue
        place = actor_to_world[actor]
        start = mesh_start[actor_mesh[actor]]
        for face in range(start, mesh_start[actor_mesh[actor] + 1]):
            normal = mesh_normal[face]
            to_light = 0.0
            for axis in range(3):
                turned = place[axis, 0] * normal[0] + place[axis, 1] * normal[1] + place[axis, 2] * normal[2]
                to_light += turned * to_sun[axis]
                if axis == 2:
                    upward = turned
            to_light = max(to_light, 0.0)
            target = colours[actor_face[actor] + face - start]
            for channel in range(3):
                albedo = actor_paint[actor, channel] if mesh_material[face] == _PAINT else mesh_colour[face, channel]
                light = to_light * direct[channel] + (SIDE_LIGHT + (1.0 - SIDE_LIGHT) * upward) * ambient[channel]
                target[channel] = albedo if mesh_material[face] == _EMISSIVE else min(albedo * light, 255.0)
