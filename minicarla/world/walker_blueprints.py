"""The blueprints of CARLA 0.9.16's 52 pedestrians, each with its size.

Sources: ids and boxes as a CARLA 0.9.16 server reports them (`Actor.bounding_box`, published in Scenic's
tools/carla/snapshots). CARLA's pedestrian catalogue says which are children and police. Gender, generation, speeds and
wheelchairs after published lists of the attributes; the last walker's (0052) are known from such a list of a later
CARLA only.
"""

from dataclasses import dataclass

from minicarla.physics.walkers import WALKER_EXTENT
from minicarla.render.encodings import Tag
from minicarla.world.blueprint import Attribute, AttributeType, Blueprint, common, constant

_GIRL, _BOY = (0.250, 0.250, 0.550), (0.188, 0.188, 0.650)  # half sizes, m
_WALKS, _STROLLS, _CHILD = (
    ("0.0", "1.8", "4.0"),
    ("0.0", "1.7", "4.0"),
    ("0.0", "1.1", "2.0"),
)  # standing, walk, run, m/s


@dataclass(frozen=True, slots=True)
class _Kind:
    """Walkers that have everything in common but their ids."""

    numbers: str
    gender: str
    generation: int
    speeds: tuple[str, ...] = _STROLLS
    age: str = "adult"
    extent: tuple[float, float, float] = WALKER_EXTENT
    wheelchair: bool = True


_KINDS = (
    _Kind("0001 0005 0006 0007 0008", "female", 1, _WALKS),
    _Kind("0002 0003 0004", "male", 1),
    _Kind("0009 0010 0011", "female", 1, _CHILD, "child", _GIRL, wheelchair=False),
    _Kind("0012 0013 0014", "male", 1, _CHILD, "child", _BOY, wheelchair=False),
    _Kind("0015", "female", 2, _WALKS),
    _Kind("0019 0020 0021 0022 0023 0031 0035 0036 0037 0040 0041", "female", 2),
    _Kind("0016 0017 0018 0024 0025 0026 0027 0028 0029 0033 0034 0038 0039 0045 0046 0047", "male", 2),
    _Kind("0030", "male", 2, wheelchair=False),
    _Kind("0032 0042 0043 0044", "female", 2, wheelchair=False),
    _Kind("0048 0049", "female", 2, _CHILD, "child", _GIRL, wheelchair=False),
    _Kind("0050", "female", 3, _CHILD, "teenager", wheelchair=False),
    _Kind("0051", "male", 3, ("0.0", "0.85", "2.0"), "teenager", wheelchair=False),
    _Kind("0052", "male", 3, wheelchair=False),
)
_WALKERS = {f"walker.pedestrian.{number}": kind for kind in _KINDS for number in kind.numbers.split()}
# Half sizes of each walker, m; its origin is its centre.
WALKER_EXTENTS = {blueprint: kind.extent for blueprint, kind in _WALKERS.items()}


def walkers() -> list[Blueprint]:
    """All of them."""
    return [_walker(blueprint, _WALKERS[blueprint]) for blueprint in sorted(_WALKERS)]


def _walker(blueprint: str, kind: _Kind) -> Blueprint:
    may_wheel = ("false", "true") if kind.wheelchair else ("false",)
    attributes = (
        *common(blueprint, ("pedestrian",)),
        Attribute("speed", AttributeType.FLOAT, kind.speeds),
        Attribute("is_invincible", AttributeType.BOOL, ("true",)),
        Attribute("use_wheelchair", AttributeType.BOOL, may_wheel, restricted=True),
        constant("gender", kind.gender),
        constant("generation", str(kind.generation), AttributeType.INT),
        constant("age", kind.age),
        constant("can_use_wheelchair", may_wheel[-1], AttributeType.BOOL),
    )
    return Blueprint(blueprint, attributes, Tag.PEDESTRIANS)
