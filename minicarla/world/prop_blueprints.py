"""The blueprints of CARLA 0.9.16's props, each with its size, and of the other things that only stand there.

Sources: ids and boxes as a CARLA 0.9.16 server reports them (`Actor.bounding_box`, published in Scenic's
tools/carla/snapshots); the attribute `size` as CARLA's Default.Package.json has it. Estimated after CARLA's scale (a
mailbox is small, a human medium, a bus stop big) is the `size` of the trees, the second bus stop, the food cart, the
hay bales and the two warning signs. CARLA publishes no centre of the boxes: here each stands on the ground.
"""

from minicarla.render.encodings import Tag
from minicarla.world.blueprint import Attribute, AttributeType, Blueprint, common, constant

# name, size, half sizes along x, y, z (m)
_TABLE = (
    ("advertisement", "small", 0.775, 0.143, 1.221),
    ("aporosatree", "huge", 6.479, 6.292, 7.817),
    ("atm", "medium", 0.357, 0.437, 1.138),
    ("barbeque", "small", 0.473, 0.249, 0.632),
    ("barrel", "small", 0.23, 0.236, 0.403),
    ("bench01", "medium", 0.772, 0.368, 0.485),
    ("bench02", "medium", 0.782, 0.272, 0.255),
    ("bench03", "medium", 0.792, 0.256, 0.256),
    ("bike helmet", "tiny", 0.093, 0.139, 0.086),
    ("bin", "medium", 0.274, 0.319, 0.53),
    ("box01", "small", 0.326, 0.326, 0.346),
    ("box02", "small", 0.324, 0.324, 0.324),
    ("box03", "small", 0.33, 0.335, 0.324),
    ("briefcase", "small", 0.272, 0.091, 0.216),
    ("brokentile01", "tiny", 0.067, 0.088, 0.003),
    ("brokentile02", "tiny", 0.105, 0.076, 0.004),
    ("brokentile03", "tiny", 0.077, 0.072, 0.004),
    ("brokentile04", "tiny", 0.065, 0.063, 0.005),
    ("busstop", "big", 1.938, 0.947, 1.369),
    ("busstoplb", "big", 0.947, 1.938, 1.369),
    ("calibrator", "small", 0.774, 0.345, 0.101),
    ("chainbarrier", "medium", 0.747, 0.119, 0.444),
    ("chainbarrierend", "small", 0.119, 0.119, 0.444),
    ("clothcontainer", "medium", 0.62, 0.943, 0.905),
    ("clothesline", "big", 3.326, 0.559, 1.031),
    ("coconutpalm", "huge", 4.302, 4.443, 10.157),
    ("colacan", "tiny", 0.034, 0.036, 0.055),
    ("constructioncone", "small", 0.172, 0.172, 0.293),
    ("container", "medium", 0.966, 0.506, 0.857),
    ("creasedbox01", "small", 0.404, 0.356, 0.059),
    ("creasedbox02", "small", 0.817, 0.356, 0.106),
    ("creasedbox03", "small", 0.834, 0.356, 0.011),
    ("cypresstree", "huge", 2.305, 2.314, 7.839),
    ("dirtdebris01", "small", 0.929, 0.757, 0.074),
    ("dirtdebris02", "small", 0.929, 0.757, 0.074),
    ("dirtdebris03", "small", 0.929, 0.757, 0.094),
    ("doghouse", "small", 0.54, 0.636, 0.547),
    ("foodcart", "big", 1.142, 2.319, 1.787),
    ("fountain", "big", 4.201, 4.201, 3.462),
    ("garbage01", "tiny", 0.027, 0.027, 0.043),
    ("garbage02", "tiny", 0.027, 0.027, 0.005),
    ("garbage03", "tiny", 0.03, 0.03, 0.04),
    ("garbage04", "tiny", 0.029, 0.028, 0.034),
    ("garbage05", "tiny", 0.116, 0.116, 0.029),
    ("garbage06", "tiny", 0.183, 0.107, 0.038),
    ("gardenlamp", "small", 0.149, 0.141, 0.324),
    ("glasscontainer", "medium", 0.977, 1.004, 0.894),
    ("gnome", "small", 0.183, 0.188, 0.441),
    ("guitarcase", "small", 0.621, 0.063, 0.247),
    ("haybale", "medium", 0.624, 0.597, 0.597),
    ("haybalelb", "medium", 0.624, 0.597, 0.597),
    ("ironplank", "small", 0.726, 0.587, 0.01),
    ("kiosk_01", "medium", 0.813, 0.827, 1.623),
    ("mailbox", "small", 0.263, 0.219, 0.579),
    ("maptable", "medium", 0.787, 0.309, 0.591),
    ("mobile", "tiny", 0.04, 0.004, 0.083),
    ("motorhelmet", "small", 0.1, 0.13, 0.129),
    ("pergola", "big", 2.515, 2.543, 1.771),
    ("plantpot01", "small", 0.545, 0.238, 0.279),
    ("plantpot02", "small", 0.526, 0.215, 0.243),
    ("plantpot03", "small", 0.526, 0.215, 0.243),
    ("plantpot04", "small", 2.484, 0.368, 0.062),
    ("plantpot05", "small", 0.2, 0.2, 0.14),
    ("plantpot06", "small", 0.797, 0.797, 0.425),
    ("plantpot07", "small", 0.247, 0.238, 0.279),
    ("plantpot08", "small", 0.265, 0.265, 0.244),
    ("plasticbag", "small", 0.155, 0.201, 0.276),
    ("plasticchair", "small", 0.365, 0.375, 0.636),
    ("plastictable", "medium", 1.241, 1.241, 1.24),
    ("platformgarbage01", "medium", 1.817, 0.856, 0.166),
    ("purse", "small", 0.08, 0.166, 0.293),
    ("shoppingbag", "small", 0.237, 0.122, 0.3),
    ("shoppingcart", "medium", 0.335, 0.604, 0.54),
    ("shoppingtrolley", "small", 0.253, 0.166, 0.547),
    ("slide", "big", 0.471, 2.061, 0.988),
    ("streetbarrier", "small", 0.607, 0.186, 0.535),
    ("streetfountain", "small", 0.143, 0.335, 0.63),
    ("streetsign", "small", 0.532, 0.063, 1.077),
    ("streetsign01", "medium", 1.235, 0.151, 1.939),
    ("streetsign04", "small", 0.585, 0.062, 1.386),
    ("swing", "medium", 2.053, 0.788, 1.286),
    ("swingcouch", "medium", 0.679, 1.181, 1.125),
    ("table", "medium", 1.078, 1.076, 0.423),
    ("trafficcone01", "small", 0.441, 0.441, 0.567),
    ("trafficcone02", "small", 0.228, 0.197, 0.591),
    ("trafficwarning", "big", 1.187, 1.435, 1.785),
    ("trampoline", "big", 2.066, 2.066, 1.401),
    ("trashbag", "small", 0.189, 0.215, 0.351),
    ("trashcan01", "small", 0.318, 0.284, 0.424),
    ("trashcan02", "small", 0.262, 0.257, 0.523),
    ("trashcan03", "small", 0.315, 0.273, 0.467),
    ("trashcan04", "small", 0.394, 0.29, 0.508),
    ("trashcan05", "small", 0.394, 0.29, 0.508),
    ("travelcase", "small", 0.284, 0.164, 0.631),
    ("vendingmachine", "medium", 0.436, 0.551, 1.054),
    ("warningaccident", "medium", 0.653, 0.528, 0.93),
    ("warningconstruction", "medium", 0.653, 0.528, 0.93),
    ("wateringcan", "small", 0.035, 0.097, 0.067),)  # fmt: skip

_PREFIX = "static.prop."
# Half sizes of each prop, m.
PROP_EXTENTS: dict[str, tuple[float, float, float]] = {_PREFIX + name: (x, y, z) for name, _, x, y, z in _TABLE}
# What of a tree stops a car is its trunk, estimated.
_TRUNK = (0.3, 0.3, 2.0)
PROP_SOLIDS = {_PREFIX + name: _TRUNK for name in ("aporosatree", "coconutpalm", "cypresstree")}
MESH = f"{_PREFIX}mesh"
FRICTION_TRIGGER = "static.trigger.friction"


def props() -> list[Blueprint]:
    """All of them, and what CARLA lists beside them under "static" and "util"."""
    return [*(_prop(_PREFIX + name, size) for name, size, *_ in _TABLE), _mesh(), _friction_trigger(), _empty()]


def _prop(blueprint: str, size: str) -> Blueprint:
    return Blueprint(blueprint, (*common(blueprint, ("prop",)), constant("size", size)), Tag.STATIC)


def _mesh() -> Blueprint:
    attributes = (
        *common(MESH),
        Attribute("mesh_path", AttributeType.STRING, ("",)),
        Attribute("mass", AttributeType.FLOAT, ("",)),
        Attribute("scale", AttributeType.FLOAT, ("1.0f",)),
    )
    return Blueprint(MESH, attributes, Tag.STATIC)


def _friction_trigger() -> Blueprint:
    """Extents in cm."""
    extents = (Attribute(f"extent_{axis}", AttributeType.FLOAT, ("1.0f",)) for axis in "xyz")
    attributes = (*common(FRICTION_TRIGGER), Attribute("friction", AttributeType.FLOAT, ("3.5f",)), *extents)
    return Blueprint(FRICTION_TRIGGER, attributes)


def _empty() -> Blueprint:
    return Blueprint("util.actor.empty", common("util.actor.empty"))
