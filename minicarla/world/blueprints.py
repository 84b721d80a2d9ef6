"""The blueprint library: what can be spawned, with CARLA 0.9.16's ids, attributes and defaults.

Source: CARLA's "Blueprint library" reference page and ActorBlueprintFunctionLibrary.cpp (attribute names and
defaults). Attributes that minicarla's renderer and sensors do not act on (lens, exposure, film) are there so that
scripts which set them run unchanged.
"""

from functools import cache

from minicarla import __version__
from minicarla.physics.vehicle_params import VEHICLES, VehicleParams
from minicarla.protocol.rpc_types import Wire
from minicarla.world.blueprint import Attribute, AttributeType, Blueprint, Tag, common, constant
from minicarla.world.sensor_blueprints import sensors

_COLOURS = ("180,180,180", "17,37,103", "137,0,0", "45,45,45", "235,235,235", "20,90,60")

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


def _vehicle(params: VehicleParams) -> Blueprint:
    generation = "2" if params.blueprint_id in _SECOND_GENERATION else "1"
    attributes = (
        *common(params.blueprint_id, ("autopilot", "scenario", "ego_vehicle")),
        Attribute("color", AttributeType.RGB, _COLOURS),
        Attribute("sticky_control", AttributeType.BOOL, ("True",)),
        Attribute("terramechanics", AttributeType.BOOL, ("False",)),
        constant("object_type", ""),
        constant("base_type", params.base_type),
        constant("special_type", _SPECIAL_TYPES.get(params.blueprint_id, "")),
        constant("generation", generation, AttributeType.INT),
        constant("number_of_wheels", str(params.wheels), AttributeType.INT),
        constant("has_lights", str(generation == "2"), AttributeType.BOOL),
        constant("has_dynamic_doors", "False", AttributeType.BOOL),
    )
    return Blueprint(params.blueprint_id, attributes, _VEHICLE_TAGS.get(params.base_type, Tag.CAR))


def _walker(blueprint: str, gender: str, age: str, generation: str) -> Blueprint:
    attributes = (
        *common(blueprint, ("pedestrian",)),
        Attribute("is_invincible", AttributeType.BOOL, ("true",)),
        Attribute("speed", AttributeType.FLOAT, ("0.0", "1.3", "2.4")),
        constant("gender", gender),
        constant("age", age),
        constant("generation", generation, AttributeType.INT),
    )
    return Blueprint(blueprint, attributes, Tag.PEDESTRIAN)


def _prop(blueprint: str, size: str) -> Blueprint:
    return Blueprint(blueprint, (*common(blueprint, ("prop",)), constant("size", size)), Tag.STATIC)


@cache
def library() -> dict[str, Blueprint]:
    """All blueprints by id."""
    blueprints = [_vehicle(params) for params in VEHICLES.values()]
    blueprints += [_walker(*row) for row in _WALKERS]
    blueprints += sensors()
    blueprints += [Blueprint("controller.ai.walker", common("controller.ai.walker"))]
    blueprints += [_prop(*row) for row in _PROPS]
    # Nothing of CARLA's: a client tells minicarla from CARLA by it, since both must answer "0.9.16" as their version.
    blueprints += [Blueprint("static.minicarla", (constant("version", __version__),), Tag.STATIC)]
    return {blueprint.id: blueprint for blueprint in blueprints}


@cache
def definitions() -> list[Wire]:
    """The result of `get_actor_definitions`."""
    return [blueprint.wire(uid) for uid, blueprint in enumerate(library().values(), start=1)]
