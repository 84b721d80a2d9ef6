"""Low-poly vehicles and walkers in their own frame: x forward, y right, z up from the ground under the middle."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from minicarla.render.encodings import Tag
from minicarla.render.mesh import Colour, Material, Mesh, box, merge, prism, quads

_GLASS: Colour = (30, 36, 44)
_TYRE: Colour = (22, 22, 24)
_RIM: Colour = (120, 122, 126)
_TRIM: Colour = (30, 30, 32)
_TAIL: Colour = (228, 26, 22)
_HEADLAMP: Colour = (250, 248, 232)
_SHADOW: Colour = (30, 30, 33)
_SKIN: Colour = (206, 160, 128)
_TROUSERS: Colour = (52, 58, 78)
_JACKET: Colour = (70, 84, 120)
_WHITE: Colour = (255, 255, 255)
_FURNITURE: Colour = (136, 126, 112)
_BARK: Colour = (92, 74, 56)
_LEAVES: Colour = (62, 98, 48)
_WARNING = ("barrier", "barrel", "warning")

Size = tuple[float, float, float]
Point = tuple[float, float, float]
Point2 = tuple[float, float]


def actor_mesh(blueprint_id: str, extent: Size) -> Mesh:
    """Mesh of a blueprint, as large as its half sizes `extent` (m). PAINT faces take the actor's own colour."""
    if blueprint_id.startswith("walker."):
        return _walker(extent)
    model = blueprint_id.rsplit(".", 1)[-1]
    if blueprint_id.startswith("static."):
        return _prop(model, extent)
    return next((build for words, build in _BUILDERS if any(word in model for word in words)), _car)(extent)


def _prop(model: str, extent: Size) -> Mesh:
    """A cone, a tree, or a box; what warns drivers is in the actor's colour."""
    ex, ey, ez = extent
    if model.endswith(("tree", "palm")):
        trunk = box((0.0, 0.0, ez), (0.3, 0.3, ez), _BARK, Tag.VEGETATION)
        return merge([trunk, box((0.0, 0.0, 1.4 * ez), (0.8 * ex, 0.8 * ey, 0.6 * ez), _LEAVES, Tag.VEGETATION)])
    if "cone" in model:
        foot = np.array([(ex, -ey, 0.0), (ex, ey, 0.0), (-ex, ey, 0.0), (-ex, -ey, 0.0)])
        tip = foot * (0.12, 0.12, 0.0) + (0.0, 0.0, 2.0 * ez)
        return prism(foot, tip, _WHITE, Tag.STATIC, Material.PAINT)
    if any(word in model for word in _WARNING):
        return box((0.0, 0.0, ez), extent, _WHITE, Tag.STATIC, Material.PAINT)
    return box((0.0, 0.0, ez), extent, _FURNITURE, Tag.STATIC)


def _loft(stations: Sequence[tuple[float, float, float, float]], size: Size, tag: Tag) -> Mesh:
    """A body along x through stations: x, half width, bottom and top as shares of half length, width and height."""
    ex, ey, ez = size
    rings = np.array(
        [
            [(x * ex, -w * ey, low), (x * ex, -w * ey, high), (x * ex, w * ey, high), (x * ex, w * ey, low)]
            for x, w, low, high in ((x, w, low * 2 * ez, high * 2 * ez) for x, w, low, high in stations)
        ]
    )  # [stations, 4, 3]
    parts = [quads(rings[:1], _WHITE, tag, Material.PAINT, facing=(1.0, 0.0, 0.0))]
    parts.append(quads(rings[-1:], _WHITE, tag, Material.PAINT, facing=(-1.0, 0.0, 0.0)))
    for a, b, facing in ((0, 1, (0.0, -1.0, 0.0)), (1, 2, (0.0, 0.0, 1.0)), (2, 3, (0.0, 1.0, 0.0))):
        corners = np.stack([rings[:-1, a], rings[1:, a], rings[1:, b], rings[:-1, b]], axis=1)
        parts.append(quads(corners, _WHITE, tag, Material.PAINT, facing=facing))
    return merge(parts)


def _car(size: Size, tag: Tag = Tag.CAR) -> Mesh:
    ex, ey, ez = size
    height = 2.0 * ez
    body = _loft(
        [
            (1.0, 0.80, 0.17, 0.42),
            (0.95, 0.94, 0.14, 0.50),
            (0.42, 0.99, 0.13, 0.62),
            (-0.60, 0.99, 0.13, 0.65),
            (-0.94, 0.95, 0.15, 0.62),
            (-1.0, 0.84, 0.20, 0.58),
        ],
        size,
        tag,
    )
    base = np.array([(0.46, -0.88), (0.46, 0.88), (-0.72, 0.86), (-0.72, -0.86)]) * (ex, ey)
    roof = np.array([(0.08, -0.68), (0.08, 0.68), (-0.40, 0.66), (-0.40, -0.66)]) * (ex, ey)
    low = np.column_stack([base, np.full(4, 0.61 * height)])
    high = np.column_stack([roof, np.full(4, height)])
    cabin = prism(low, high, _GLASS, tag, lid=False)
    top = quads(high[None], _WHITE, tag, Material.PAINT, facing=(0.0, 0.0, 1.0))
    plates = [
        _plate(-ex, (0.0, 0.24 * height), (0.80 * ey, 0.06 * height), _TRIM, tag),
        _plate(ex, (0.0, 0.26 * height), (0.62 * ey, 0.07 * height), _TRIM, tag),
    ]
    for side in (-1.0, 1.0):
        tail, headlamp = (side * 0.68 * ey, 0.50 * height), (side * 0.62 * ey, 0.40 * height)
        plates.append(_plate(-ex, tail, (0.20 * ey, 0.055 * height), _TAIL, tag, glows=True))
        plates.append(_plate(ex, headlamp, (0.18 * ey, 0.045 * height), _HEADLAMP, tag, glows=True))
    wheels = _wheels((0.62 * ex, -0.60 * ex), ey, 0.235 * height, tag)
    return merge([_shadow(ex, ey), wheels, body, cabin, top, *plates])


def _panel(
    corners: Sequence[Point], colour: Colour, tag: Tag, facing: Point, material: Material = Material.PLAIN
) -> Mesh:
    """One quad."""
    return quads(np.array([corners]), colour, tag, material, facing=facing)


def _plate(end: float, centre: Point2, half: Point2, colour: Colour, tag: Tag, glows: bool = False) -> Mesh:
    """An upright rectangle just proud of a body's front (end > 0) or rear; centre, half: across and up, m."""
    out = math.copysign(0.02, end)
    (y, z), (half_y, half_z) = centre, half
    corners = [(end + out, y + a * half_y, z + b * half_z) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return _panel(corners, colour, tag, (out, 0.0, 0.0), Material.EMISSIVE if glows else Material.PLAIN)


def _wheels(axles: Sequence[float], ey: float, radius: float, tag: Tag) -> Mesh:
    parts = []
    angle_rad = np.deg2rad(22.5 + 45.0 * np.arange(8))
    for x in axles:
        for side in (-1.0, 1.0):
            for share, colour, proud in ((1.0, _TYRE, 0.01), (0.55, _RIM, 0.02)):
                ring = np.stack(
                    [
                        x + share * radius * np.cos(angle_rad),
                        np.full(8, side * (ey + proud)),
                        radius + share * radius * np.sin(angle_rad),
                    ],
                    axis=1,
                )
                discs = np.stack([ring[[0, 1, 2, 3]], ring[[3, 4, 7, 0]], ring[[4, 5, 6, 7]]])
                parts.append(quads(discs, colour, tag, facing=(0.0, side, 0.0)))
            parts.append(box((x, side * (ey - 0.11), 0.9 * radius), (0.75 * radius, 0.11, 0.9 * radius), _TYRE, tag))
    return merge(parts)


def _shadow(ex: float, ey: float) -> Mesh:
    corners = [[(ex * a, ey * b, 0.03) for a, b in ((1.0, -0.96), (1.0, 0.96), (-1.0, 0.96), (-1.0, -0.96))]]
    return quads(np.array(corners), _SHADOW, Tag.ROADS, Material.SHADOW, facing=(0.0, 0.0, 1.0))


def _box_car(size: Size, tag: Tag, bonnet: float, windows: bool) -> Mesh:
    """Van, lorry or bus: one tall box, glass in front, and along the sides of a bus."""
    ex, ey, ez = size
    height = 2.0 * ez
    nose = 1.0 - 2.0 * bonnet
    body = _loft(
        [
            (1.0, 0.90, 0.14, 0.46),
            (0.985, 0.98, 0.12, 0.50),
            (nose + 0.02, 1.0, 0.12, 0.56),
            (nose - 0.10, 1.0, 0.12, 1.0),
            (-0.99, 1.0, 0.12, 1.0),
            (-1.0, 0.98, 0.14, 0.99),
        ],
        size,
        tag,
    )
    # The windscreen lies on the slope from (nose + 0.02, 0.56) to (nose - 0.10, 1.0).
    (low_x, low_z), (high_x, high_z) = (
        (ex * (nose + 0.02 - 0.12 * at) + 0.03, height * (0.56 + 0.44 * at)) for at in (0.12, 0.82)
    )
    half = 0.88 * ey
    screen = [(low_x, -half, low_z), (low_x, half, low_z), (high_x, half, high_z), (high_x, -half, high_z)]
    parts = [_panel(screen, _GLASS, tag, (1.0, 0.0, 0.2))]
    front, back = ex * (nose - 0.12), ex * (-0.92 if windows else nose - 0.42)
    low, high = 0.60 * height, 0.86 * height
    for side in (-1.0, 1.0):
        y = side * (ey + 0.01)
        pane = [(front, y, low), (back, y, low), (back, y, high), (front, y, high)]
        parts.append(_panel(pane, _GLASS, tag, (0.0, side, 0.0)))
        lamps = 0.30 * height
        parts.append(_plate(-ex, (side * 0.82 * ey, lamps), (0.10 * ey, 0.06 * height), _TAIL, tag, glows=True))
        parts.append(_plate(ex, (side * 0.68 * ey, lamps), (0.16 * ey, 0.04 * height), _HEADLAMP, tag, glows=True))
    parts.append(_plate(-ex, (0.0, 0.18 * height), (0.95 * ey, 0.035 * height), _TRIM, tag))
    if windows:
        parts.append(_plate(-ex, (0.0, 0.74 * height), (0.80 * ey, 0.13 * height), _GLASS, tag))
    wheels = _wheels((0.66 * ex, -0.62 * ex), ey, min(0.45, 0.18 * height), tag)
    return merge([_shadow(ex, ey), wheels, body, *parts])


def _two_wheeler(size: Size, tag: Tag) -> Mesh:
    """Bicycle or motorcycle with its rider, who sits up to the top of the box."""
    ex, ey, ez = size
    radius = min(0.34, 0.36 * ex)
    stout = 0.16 if tag == Tag.MOTORCYCLE else 0.05
    seat, paint = min(0.9, 1.1 * ez), Material.PAINT
    trunk = 0.5 * max(2.0 * ez - 0.24 - seat, 0.3)
    tail = ((0.0, 0.85 * seat), (max(0.05, 0.8 * stout), 0.05))
    leg = (0.12, 0.07, 0.42 * seat)
    return merge(
        [
            _shadow(ex, max(ey, 0.2)),
            box((ex - radius, 0.0, radius), (radius, 0.5 * stout, radius), _TYRE, tag),
            box((radius - ex, 0.0, radius), (radius, 0.5 * stout, radius), _TYRE, tag),
            box((0.0, 0.0, 0.75 * seat), (0.55 * ex, stout, 0.22 * seat), _WHITE, tag, paint),
            box((0.45 * ex, 0.0, 1.1 * seat), (0.05, 0.8 * ey, 0.04), _TRIM, tag),
            _plate(-0.55 * ex, *tail, _TAIL, tag, glows=True),
            box((-0.1 * ex, 0.0, seat + trunk), (0.16, 0.21, trunk), _JACKET, Tag.RIDER),
            box((-0.05 * ex, 0.0, seat + 2.0 * trunk + 0.12), (0.11, 0.10, 0.12), _SKIN, Tag.RIDER),
            *(box((0.05 * ex, y, 0.62 * seat), leg, _TROUSERS, Tag.RIDER) for y in (-0.14, 0.14)),
        ]
    )


def _walker(size: Size) -> Mesh:
    """A standing figure around its middle: the origin of a CARLA walker is at half its height."""
    height = 2.0 * size[2]
    tag, paint = Tag.PEDESTRIANS, Material.PAINT
    legs, arms = (-0.05 * height, 0.05 * height), (-0.13 * height, 0.13 * height)
    leg = (0.04 * height, 0.04 * height, 0.24 * height)
    arm = (0.03 * height, 0.03 * height, 0.17 * height)
    figure = merge(
        [
            *(box((0.0, y, 0.24 * height), leg, _TROUSERS, tag) for y in legs),
            box((0.0, 0.0, 0.65 * height), (0.065 * height, 0.10 * height, 0.18 * height), _WHITE, tag, paint),
            *(box((0.0, y, 0.64 * height), arm, _WHITE, tag, paint) for y in arms),
            box((0.0, 0.0, 0.92 * height), (0.055 * height, 0.05 * height, 0.08 * height), _SKIN, tag),
        ]
    )
    middle = np.array([0.0, 0.0, 0.5 * height], np.float32)
    return Mesh(figure.corners - middle, figure.colour, figure.tag, figure.material)


# By words in the model's name (CARLA's vehicle catalogue); whatever has none of them is a car.
_BUILDERS: tuple[tuple[tuple[str, ...], Callable[[Size], Mesh]], ...] = (
    (("fusorosa",), lambda size: _box_car(size, Tag.BUS, bonnet=0.02, windows=True)),
    (
        ("carlacola", "firetruck", "hgv"),
        lambda size: _box_car(size, Tag.TRUCK, bonnet=0.14, windows=False),
    ),
    # CARLA's class "car" is that of cars and vans.
    (("ambulance", "sprinter", "t2"), lambda size: _box_car(size, Tag.CAR, bonnet=0.14, windows=False)),
    (("cybertruck",), lambda size: _car(size, Tag.TRUCK)),
    (("low_rider", "ninja", "yzf", "zx125"), lambda size: _two_wheeler(size, Tag.MOTORCYCLE)),
    (("crossbike", "century", "omafiets"), lambda size: _two_wheeler(size, Tag.BICYCLE)),
)
