"""The blueprint library: what can be spawned, with CARLA 0.9.16's ids, attributes and defaults.

Source: CARLA's "Blueprint library" reference page and ActorBlueprintFunctionLibrary.cpp (attribute names and
defaults). Attributes that minicarla's renderer and sensors do not act on (lens, exposure, film) are there so that
scripts which set them run unchanged.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from minicarla import __version__
from minicarla.physics.vehicle_params import VEHICLES, VehicleParams
from minicarla.protocol.rpc_types import Wire


class AttributeType(IntEnum):
    """`carla.ActorAttributeType`."""

    BOOL = 1
    INT = 2
    FLOAT = 3
    STRING = 4
    RGB = 5


class Tag(IntEnum):
    """`carla.CityObjectLabel` of what can be spawned."""

    TRAFFIC_LIGHT = 7
    PEDESTRIAN = 12
    CAR = 14
    TRUCK = 15
    MOTORCYCLE = 18
    BICYCLE = 19
    STATIC = 20


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a blueprint. A constant cannot be set by a client; `values[0]` is the default."""

    id: str
    type: AttributeType
    values: tuple[str, ...]
    constant: bool = False
    restricted: bool = False

    def wire(self) -> Wire:
        """The array of `get_actor_definitions`."""
        recommended = [] if self.constant else list(self.values)
        return [self.id, int(self.type), self.values[0], recommended, not self.constant, self.restricted]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A kind of actor."""

    id: str
    attributes: tuple[Attribute, ...]
    tag: Tag | None = None

    def wire(self, uid: int) -> Wire:
        """The array of `get_actor_definitions`."""
        return [uid, self.id, self.id.replace(".", ","), [attribute.wire() for attribute in self.attributes]]

    def defaults(self) -> dict[str, str]:
        """The attributes as a client that sets nothing sends them."""
        return {attribute.id: attribute.values[0] for attribute in self.attributes}


_COLOURS = ("180,180,180", "17,37,103", "137,0,0", "45,45,45", "235,235,235", "20,90,60")
_SENSOR_ROLES = ("front", "back", "left", "right", "front_left", "front_right", "back_left", "back_right")

_SPECIAL_TYPES = {
    "vehicle.audi.etron": "electric",
    "vehicle.carlamotors.firetruck": "emergency",
    "vehicle.ford.ambulance": "emergency",
    "vehicle.tesla.model3": "electric",
}
_SECOND_GENERATION = frozenset(
    {
        "vehicle.carlamotors.firetruck",
        "vehicle.dodge.charger_2020",
        "vehicle.ford.ambulance",
        "vehicle.tesla.model3",
    }
)
_VEHICLE_TAGS = {"truck": Tag.TRUCK, "motorcycle": Tag.MOTORCYCLE, "bicycle": Tag.BICYCLE}

# id, gender, age, generation
_WALKERS = (
    ("walker.pedestrian.0001", "female", "adult", "1"),
    ("walker.pedestrian.0002", "male", "adult", "1"),
    ("walker.pedestrian.0003", "male", "adult", "1"),
    ("walker.pedestrian.0009", "female", "child", "1"),
    ("walker.pedestrian.0015", "female", "adult", "2"),
)

_PROPS = (
    ("static.prop.barrel", "small"),
    ("static.prop.box01", "small"),
    ("static.prop.constructioncone", "small"),
    ("static.prop.streetbarrier", "medium"),
    ("static.prop.trafficcone01", "small"),
    ("static.prop.trafficwarning", "medium"),
)

_IMAGE = "image_size_x=800:int image_size_y=600:int fov=90.0"
_LENS = (
    "lens_circle_falloff=5.0 lens_circle_multiplier=0.0 lens_k=-1.0 lens_kcube=0.0 lens_x_size=0.08 lens_y_size=0.08"
)
_POSTPROCESS = (
    "enable_postprocess_effects=true:bool gamma=2.2 motion_blur_intensity=0.45 motion_blur_max_distortion=0.35 "
    "motion_blur_min_object_screen_size=0.1 lens_flare_intensity=0.1 bloom_intensity=0.675 exposure_compensation=0.0 "
    "shutter_speed=200.0 iso=100.0 fstop=1.4 exposure_min_bright=10.0 exposure_max_bright=12.0 exposure_speed_up=3.0 "
    "exposure_speed_down=1.0 calibration_constant=16.0 focal_distance=1000.0 blur_amount=1.0 blur_radius=0.0 "
    "min_fstop=1.2 blade_count=5:int slope=0.88 toe=0.55 shoulder=0.26 black_clip=0.0 white_clip=0.04 temp=6500.0 "
    "tint=0.0 chromatic_aberration_intensity=0.0 chromatic_aberration_offset=0.0"
)
_TICK = "sensor_tick=0.0"
_SENSORS = {
    "sensor.camera.rgb": f"{_TICK} {_IMAGE} {_LENS} {_POSTPROCESS}",
    "sensor.camera.depth": f"{_TICK} {_IMAGE} {_LENS}",
    "sensor.camera.semantic_segmentation": f"{_TICK} {_IMAGE} {_LENS}",
    "sensor.other.collision": "",
    "sensor.other.lane_invasion": "",
    "sensor.other.obstacle": f"{_TICK} distance=5.0 hit_radius=0.5 only_dynamics=false:bool debug_linetrace=false:bool",
    "sensor.other.gnss": (
        f"{_TICK} noise_seed=0:int noise_alt_stddev=0.0 noise_lat_stddev=0.0 noise_lon_stddev=0.0 noise_alt_bias=0.0 "
        "noise_lat_bias=0.0 noise_lon_bias=0.0"
    ),
    "sensor.other.imu": (
        f"{_TICK} noise_seed=0:int noise_accel_stddev_x=0.0 noise_accel_stddev_y=0.0 noise_accel_stddev_z=0.0 "
        "noise_gyro_stddev_x=0.0 noise_gyro_stddev_y=0.0 noise_gyro_stddev_z=0.0 "
        "noise_gyro_bias_x=0.0 noise_gyro_bias_y=0.0 noise_gyro_bias_z=0.0"
    ),
}


def _constant(name: str, value: str, kind: AttributeType = AttributeType.STRING) -> Attribute:
    return Attribute(name, kind, (value,), constant=True)


def _common(blueprint: str, roles: tuple[str, ...] = ("default",)) -> tuple[Attribute, ...]:
    return (
        Attribute("role_name", AttributeType.STRING, roles),
        Attribute("ros_name", AttributeType.STRING, (blueprint,)),
    )


def _vehicle(params: VehicleParams) -> Blueprint:
    generation = "2" if params.blueprint_id in _SECOND_GENERATION else "1"
    attributes = (
        *_common(params.blueprint_id, ("autopilot", "scenario", "ego_vehicle")),
        Attribute("color", AttributeType.RGB, _COLOURS),
        Attribute("sticky_control", AttributeType.BOOL, ("True",)),
        Attribute("terramechanics", AttributeType.BOOL, ("False",)),
        _constant("object_type", ""),
        _constant("base_type", params.base_type),
        _constant("special_type", _SPECIAL_TYPES.get(params.blueprint_id, "")),
        _constant("generation", generation, AttributeType.INT),
        _constant("number_of_wheels", str(params.wheels), AttributeType.INT),
        _constant("has_lights", str(generation == "2"), AttributeType.BOOL),
        _constant("has_dynamic_doors", "False", AttributeType.BOOL),
    )
    return Blueprint(params.blueprint_id, attributes, _VEHICLE_TAGS.get(params.base_type, Tag.CAR))


def _walker(blueprint: str, gender: str, age: str, generation: str) -> Blueprint:
    attributes = (
        *_common(blueprint, ("pedestrian",)),
        Attribute("is_invincible", AttributeType.BOOL, ("true",)),
        Attribute("speed", AttributeType.FLOAT, ("0.0", "1.3", "2.4")),
        _constant("gender", gender),
        _constant("age", age),
        _constant("generation", generation, AttributeType.INT),
    )
    return Blueprint(blueprint, attributes, Tag.PEDESTRIAN)


def _sensor_attributes(compact: str) -> Iterable[Attribute]:
    kinds = {"int": AttributeType.INT, "bool": AttributeType.BOOL, "": AttributeType.FLOAT}
    for entry in compact.split():
        name, _, rest = entry.partition("=")
        value, _, kind = rest.partition(":")
        yield Attribute(name, kinds[kind], (value,))


def _sensor(blueprint: str, compact: str) -> Blueprint:
    attributes = (*_common(blueprint, _SENSOR_ROLES), *_sensor_attributes(compact))
    if blueprint == "sensor.camera.rgb":
        attributes += (Attribute("exposure_mode", AttributeType.STRING, ("histogram", "manual"), restricted=True),)
    return Blueprint(blueprint, attributes)


def _prop(blueprint: str, size: str) -> Blueprint:
    return Blueprint(blueprint, (*_common(blueprint, ("prop",)), _constant("size", size)), Tag.STATIC)


@cache
def library() -> dict[str, Blueprint]:
    """All blueprints by id."""
    blueprints = [_vehicle(params) for params in VEHICLES.values()]
    blueprints += [_walker(*row) for row in _WALKERS]
    blueprints += [_sensor(*row) for row in _SENSORS.items()]
    blueprints += [Blueprint("controller.ai.walker", _common("controller.ai.walker"))]
    blueprints += [_prop(*row) for row in _PROPS]
    # Nothing of CARLA's: a client tells minicarla from CARLA by it, since both must answer "0.9.16" as their version.
    blueprints += [Blueprint("static.minicarla", (_constant("version", __version__),), Tag.STATIC)]
    return {blueprint.id: blueprint for blueprint in blueprints}


@cache
def definitions() -> list[Wire]:
    """The result of `get_actor_definitions`."""
    return [blueprint.wire(uid) for uid, blueprint in enumerate(library().values(), start=1)]
