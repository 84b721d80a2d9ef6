"""The catalogue: CARLA 0.9.16's ids, attributes and sizes, and nothing that is silently something else."""

import re

import carla
import pytest
from server_process import RawRpc, ServerProcess, SyncWorld

from minicarla.world.blueprints import library

OPEN_AIR = carla.Location(0.0, -200.0, 400.0)  # where nothing stands


def by_kind(kind: str) -> list[str]:
    return [name for name in library() if name.startswith(kind)]


def extent_of(actor: carla.Actor) -> list[float]:
    extent = actor.bounding_box.extent
    return [round(extent.x, 3), round(extent.y, 3), round(extent.z, 3)]


def test_the_catalogue_is_as_long_as_carlas():
    counts = {kind: len(by_kind(kind)) for kind in ("vehicle.", "walker.", "static.prop.", "sensor.")}
    # A 0.9.16 server's own counts; the 99th prop is `static.prop.mesh`.
    assert counts == {"vehicle.": 41, "walker.": 52, "static.prop.": 99, "sensor.": 19}
    assert all(re.match(r"\S+\.\S+\.\S+", name) for name in library())  # what CARLA's own smoke test asks of every id


@pytest.mark.parametrize(
    ("blueprint", "attributes"),
    [
        ("vehicle.tesla.model3", "car electric 4 1 false false"),
        ("vehicle.dodge.charger_2020", "car  4 2 true true"),
        ("vehicle.ford.crown", "car taxi 4 2 true true"),
        ("vehicle.mini.cooper_s", "  4 1 false false"),
        ("vehicle.mitsubishi.fusorosa", "Bus  4 2 false true"),
        ("vehicle.carlamotors.european_hgv", "truck  6 2 false false"),
        ("vehicle.vespa.zx125", "motorcycle  2 1 false false"),
    ],
)
def test_a_vehicle_lists_what_carlas_does(blueprint: str, attributes: str):
    names = ("base_type", "special_type", "number_of_wheels", "generation", "has_dynamic_doors", "has_lights")
    listed = library()[blueprint].defaults()
    assert " ".join(listed[name] for name in names) == attributes


def test_blueprints_read_as_scripts_read_them(sync: SyncWorld):
    walker = sync.blueprints.find("walker.pedestrian.0010")
    assert walker.get_attribute("age").as_str() == "child"
    assert walker.get_attribute("speed").recommended_values == ["0.0", "1.1", "2.0"]
    assert not walker.get_attribute("can_use_wheelchair").as_bool()
    assert sync.blueprints.find("walker.pedestrian.0001").get_attribute("use_wheelchair").recommended_values == [
        "false",
        "true",
    ]
    cybertruck = sync.blueprints.find("vehicle.tesla.cybertruck")
    assert not cybertruck.has_attribute("color")
    assert cybertruck.get_attribute("sticky_control").as_bool()
    assert sync.blueprints.find("vehicle.bh.crossbike").get_attribute("driver_id").recommended_values[0] == "2"
    assert sync.blueprints.find("static.prop.fountain").get_attribute("size").as_str() == "big"
    assert sync.blueprints.find("static.trigger.friction").get_attribute("extent_x").as_float() == 1.0


def test_everything_that_is_not_refused_can_be_spawned(sync: SyncWorld):
    batch = []
    for number, name in enumerate(
        [*by_kind("vehicle."), *by_kind("walker."), *by_kind("static.prop."), "util.actor.empty"]
    ):
        if library()[name].refused is None:
            place = carla.Transform(OPEN_AIR + carla.Location(x=30.0 * number))
            batch.append(carla.command.SpawnActor(sync.blueprints.find(name), place))
    answers = sync.client.apply_batch_sync(batch, True)
    assert [answer.error for answer in answers] == [""] * len(batch)


@pytest.mark.parametrize(
    ("blueprint", "extent", "centre"),
    [
        ("vehicle.mercedes.sprinter", [2.958, 0.994, 1.28], 1.288),
        ("vehicle.micro.microlino", [1.104, 0.74, 0.688], 0.677),
        ("walker.pedestrian.0001", [0.188, 0.188, 0.93], 0.0),
        ("walker.pedestrian.0009", [0.25, 0.25, 0.55], 0.0),
        ("walker.pedestrian.0012", [0.188, 0.188, 0.65], 0.0),
        ("static.prop.busstop", [1.938, 0.947, 1.369], 1.369),
    ],
)
def test_boxes_are_carlas(sync: SyncWorld, blueprint: str, extent: list[float], centre: float):
    actor = sync.spawn(blueprint, sync.spawn_points[0])
    sync.world.tick()
    assert extent_of(actor) == extent
    assert actor.bounding_box.location.z == pytest.approx(centre, abs=1e-3)


def test_a_child_stands_on_the_pavement_as_adults_do(sync: SyncWorld):
    adult = sync.spawn("walker.pedestrian.0001", sync.spawn_points[0])
    child = sync.spawn("walker.pedestrian.0011", sync.spawn_points[20])
    sync.ticks(2)
    feet = [walker.get_location().z - walker.bounding_box.extent.z for walker in (adult, child)]
    assert feet[0] == pytest.approx(feet[1], abs=1e-3)


def test_what_cannot_be_says_so(sync: SyncWorld):
    assert sync.spawn("static.prop.mesh", sync.spawn_points[0]).type_id == "static.prop.mesh"
    with pytest.raises(RuntimeError, match=r"mesh_path names a mesh of Unreal's, .* take another prop"):
        sync.spawn("static.prop.mesh", sync.spawn_points[0], mesh_path="/Game/Carla/Static/SM_Bin.SM_Bin")
    with pytest.raises(RuntimeError, match=r"'static\.minicarla\.mark' cannot be spawned: it only says which server"):
        sync.spawn("static.minicarla.mark", sync.spawn_points[0])


@pytest.mark.parametrize(
    ("blueprint", "attribute", "value", "sentence"),
    [
        ("vehicle.tesla.model3", "color", "abc", "color must be a colour like 255,128,0, not 'abc'"),
        ("vehicle.tesla.model3", "color", "1,2,300", "color must be a colour"),
        ("vehicle.tesla.model3", "sticky_control", "perhaps", "sticky_control must be true or false"),
        ("vehicle.tesla.model3", "number_of_wheels", "3", "number_of_wheels is always '4'"),
        ("vehicle.bh.crossbike", "driver_id", "99", "driver_id must be one of 2, 3, 7, 8"),
        ("walker.pedestrian.0030", "use_wheelchair", "true", "use_wheelchair must be one of false"),
        ("walker.pedestrian.0001", "speed", "fast", "speed must be a finite number"),
        ("sensor.camera.rgb", "image_size_x", "1.5", "image_size_x must be a whole number"),
        ("vehicle.tesla.model3", "wings", "2", "'vehicle.tesla.model3' has no attribute 'wings'"),
        ("vehicle.tesla.model_t", "color", "1,2,3", "minicarla has no blueprint 'vehicle.tesla.model_t'"),
    ],
)
def test_a_wrong_value_is_refused_whoever_sends_it(
    server: ServerProcess, blueprint: str, attribute: str, value: str, sentence: str
):
    with RawRpc(server.port) as rpc:
        kinds = (
            {known.id: int(known.type) for known in library()[blueprint].attributes} if blueprint in library() else {}
        )
        description = [1, blueprint, [[attribute, kinds.get(attribute, 4), value]]]
        answer = rpc.call("spawn_actor", description, [[0.0, 0.0, 300.0], [0.0, 0.0, 0.0]])
    failed, (message,) = answer[0]
    assert not failed
    assert sentence in message


def test_an_attribute_of_another_type_is_refused(server: ServerProcess):
    with RawRpc(server.port) as rpc:
        description = [1, "vehicle.tesla.model3", [["color", 4, "1,2,3"]]]
        answer = rpc.call("spawn_actor", description, [[0.0, 0.0, 300.0], [0.0, 0.0, 0.0]])
    assert "color is of type 5 (rgb), not 4" in answer[0][1][0]


def test_litter_stops_no_car_and_a_barrier_does(sync: SyncWorld):
    def driven(blueprint: str) -> float:
        car = sync.car()
        place = car.get_transform()
        place.location += 8.0 * place.get_forward_vector()
        thing = sync.spawn(blueprint, place)
        begin = car.get_location()
        car.set_target_velocity(8.0 * place.get_forward_vector())
        sync.ticks(40)
        distance = begin.distance(car.get_location())
        car.destroy()
        thing.destroy()
        sync.world.tick()
        return distance

    assert driven("static.prop.colacan") > 10.0
    assert driven("static.prop.streetbarrier") < 8.0


def test_a_tree_stands_close_to_what_its_crown_reaches_over(sync: SyncWorld):
    car = sync.car()
    place = car.get_transform()
    beside = carla.Transform(place.location + 2.0 * place.get_right_vector())
    assert sync.world.try_spawn_actor(sync.blueprints.find("static.prop.streetbarrier"), place) is None
    sync.spawn("static.prop.colacan", place)  # lies under the car
    tree = sync.spawn("static.prop.cypresstree", beside)
    sync.world.tick()
    assert extent_of(tree) == [2.305, 2.314, 7.839]
