"""The blueprints of CARLA 0.9.16's 41 vehicles.

Sources: CARLA's vehicle catalogue for 0.9.16 (generation, special type, lights, doors); colours, drivers, base types
and numbers of wheels as CARLA servers list them. There two cars have no base type, and the bus's has a capital.
"""

from dataclasses import dataclass

from minicarla.physics.vehicle_params import VEHICLES, VehicleParams
from minicarla.render.encodings import Tag
from minicarla.world.blueprint import Attribute, AttributeType, Blueprint, common, constant

# CARLA's class "car" is that of cars and vans.
_TAGS = {
    "car": Tag.CAR,
    "van": Tag.CAR,
    "truck": Tag.TRUCK,
    "bus": Tag.BUS,
    "motorcycle": Tag.MOTORCYCLE,
    "bicycle": Tag.BICYCLE,
}
_LISTED_BASE_TYPES = {
    "vehicle.bmw.grandtourer": "",
    "vehicle.mini.cooper_s": "",
    "vehicle.mitsubishi.fusorosa": "Bus",
}


@dataclass(frozen=True, slots=True)
class _Looks:
    """What a blueprint lists beside what follows from the vehicle's physics. drivers: ids of two-wheelers' riders."""

    colours: str
    special_type: str = ""
    generation: int = 1
    lights: bool = False
    doors: bool = False
    drivers: str = ""


_CLASSIC = "217,217,217 168,0,27 0,39,105 16,44,21 33,33,33"
_BUSES = "73,12,12 22,31,73 215,89,0 105,103,0 0,33,5 158,40,82"
_YAMAHA = (
    "0,0,0 206,206,206 0,12,49 42,99,159 61,68,66 33,55,61 255,0,0 58,21,21 155,0,0 255,213,0 127,130,135 141,0,58"
)


def _modern(colours: str, special_type: str = "", drivers: str = "") -> _Looks:
    return _Looks(colours, special_type, 2, lights=True, doors=True, drivers=drivers)


_LOOKS = {
    "vehicle.audi.a2": _Looks("168,0,27 0,39,105 16,44,21 33,33,33"),
    "vehicle.audi.etron": _Looks("168,0,27 0,39,105 33,33,33 195,168,228", "electric"),
    "vehicle.audi.tt": _Looks("168,0,27 0,39,105 16,44,21 33,33,33"),
    "vehicle.bh.crossbike": _Looks("20,78,217 0,112,39 255,202,0 180,0,0", drivers="2 3 7 8"),
    "vehicle.bmw.grandtourer": _Looks("109,109,109 12,38,88 68,68,77 255,255,255 255,21,0 0,0,0"),
    "vehicle.carlamotors.carlacola": _Looks("255,68,0"),
    "vehicle.carlamotors.european_hgv": _Looks(
        "231,0,0 255,255,255 28,28,28 42,61,156 127,127,127 255,103,0", generation=2
    ),
    "vehicle.carlamotors.firetruck": _modern("234,0,0", "emergency"),
    "vehicle.chevrolet.impala": _Looks("61,86,143 0,12,49 0,0,0 71,12,12"),
    "vehicle.citroen.c3": _Looks(_CLASSIC),
    "vehicle.diamondback.century": _Looks("214,0,0 50,96,242 78,247,119", drivers="4 5 6 7"),
    "vehicle.dodge.charger_2020": _modern("73,0,0 0,39,105 0,0,0 211,142,0"),
    "vehicle.dodge.charger_police": _Looks("0,0,0 8,53,0", "emergency"),
    "vehicle.dodge.charger_police_2020": _modern("0,0,0", "emergency"),
    "vehicle.ford.ambulance": _modern("231,231,231", "emergency"),
    "vehicle.ford.crown": _modern("255,185,0", "taxi"),
    "vehicle.ford.mustang": _Looks("0,12,58 85,0,0 160,160,160 0,21,0 0,0,0"),
    "vehicle.gazelle.omafiets": _Looks("0,0,0 41,73,217 202,88,176", drivers="0 1 3 5"),
    "vehicle.harley-davidson.low_rider": _Looks("67,67,67 255,0,0 255,154,0 0,38,132", drivers="0 3 7 4"),
    "vehicle.jeep.wrangler_rubicon": _Looks(_CLASSIC),
    "vehicle.kawasaki.ninja": _Looks("11,129,0 255,203,39 168,0,0 0,0,0", drivers="0 7 3 4"),
    "vehicle.lincoln.mkz_2017": _Looks("16,16,16"),
    "vehicle.lincoln.mkz_2020": _modern("0,0,0", drivers="0"),
    "vehicle.mercedes.coupe": _Looks(_CLASSIC),
    "vehicle.mercedes.coupe_2020": _modern("73,0,0 0,21,81 0,0,0 187,187,187"),
    "vehicle.mercedes.sprinter": _modern("167,166,175 255,255,255 115,115,115"),
    "vehicle.micro.microlino": _Looks("21,158,255 145,255,181 255,33,0 255,208,0 181,255,0", "electric"),
    "vehicle.mini.cooper_s": _Looks(_CLASSIC),
    "vehicle.mini.cooper_s_2021": _modern("73,0,0 22,31,73 215,88,0 0,28,0"),
    "vehicle.mitsubishi.fusorosa": _Looks("255,255,255", generation=2, lights=True),
    "vehicle.nissan.micra": _Looks("243,243,243 83,83,86 187,0,0 28,0,46 0,0,0 17,21,99"),
    "vehicle.nissan.patrol": _Looks("183,187,162 0,0,0 66,52,33 22,24,43 201,147,0"),
    "vehicle.nissan.patrol_2021": _modern("217,217,217 159,0,0 0,38,105 12,42,12 0,0,0"),
    "vehicle.seat.leon": _Looks("42,61,214 21,38,98 38,38,38 79,33,85 155,0,0 0,0,0"),
    "vehicle.tesla.cybertruck": _Looks("", "electric", 2),
    "vehicle.tesla.model3": _Looks("17,37,103 75,86,173 180,42,42 0,0,0 137,0,0", "electric"),
    "vehicle.toyota.prius": _Looks("255,0,0 215,255,143 96,102,99 28,46,58 23,51,236 227,227,227 0,0,0", "electric"),
    "vehicle.vespa.zx125": _Looks("255,203,39 30,121,154 168,0,0 0,0,0 208,208,208", drivers="0 2 3 6"),
    "vehicle.volkswagen.t2": _Looks(_BUSES),
    "vehicle.volkswagen.t2_2021": _modern(_BUSES),
    "vehicle.yamaha.yzf": _Looks(_YAMAHA, drivers="0 2 3 6"),
}


def vehicles() -> list[Blueprint]:
    """All of them."""
    return [_vehicle(params, _LOOKS[params.blueprint_id]) for params in VEHICLES.values()]


def _vehicle(params: VehicleParams, looks: _Looks) -> Blueprint:
    attributes = [*common(params.blueprint_id, ("autopilot", "scenario", "ego_vehicle"))]
    if looks.colours:
        attributes.append(Attribute("color", AttributeType.RGB, tuple(looks.colours.split())))
    if looks.drivers:
        attributes.append(Attribute("driver_id", AttributeType.INT, tuple(looks.drivers.split()), restricted=True))
    attributes += [
        Attribute("sticky_control", AttributeType.BOOL, ("true",)),
        Attribute("terramechanics", AttributeType.BOOL, ("false",)),
        constant("object_type", ""),
        constant("base_type", _LISTED_BASE_TYPES.get(params.blueprint_id, params.base_type)),
        constant("special_type", looks.special_type),
        constant("number_of_wheels", str(params.wheels), AttributeType.INT),
        constant("generation", str(looks.generation), AttributeType.INT),
        constant("has_dynamic_doors", str(looks.doors).lower(), AttributeType.BOOL),
        constant("has_lights", str(looks.lights).lower(), AttributeType.BOOL),
    ]
    return Blueprint(params.blueprint_id, tuple(attributes), _TAGS[params.base_type])
