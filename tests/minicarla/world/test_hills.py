"""Driving up, down, round and over: a real server, a real client, a map with a hill, a tilted bend and a bridge."""

import math
from collections.abc import Iterator

import carla
import numpy as np
import opendrive_maps
import pytest
from opendrive_text import Place, opendrive
from server_process import SyncWorld, running_server, synchronous

GRADE, ROLL_RAD, BRIDGE_M = 0.08, 0.08, 6.0
HILL, BEND, STREET, OVER = 1, 2, 3, 4
CROSSING = Place(0.0, 500.0)  # OpenDRIVE's frame: at y = -500 in CARLA's


@pytest.fixture(scope="module")
def hills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncWorld]:
    path = tmp_path_factory.mktemp("maps") / "Hills.xodr"
    roads = [
        opendrive_maps.hill_road(GRADE, id=HILL),
        opendrive_maps.banked_road(ROLL_RAD, id=BEND, start=Place(0.0, -400.0)),
        *opendrive_maps.bridge_roads(BRIDGE_M, CROSSING, first_id=STREET),
    ]
    path.write_text(opendrive(roads))
    with running_server("--xodr", str(path)) as server:
        yield synchronous(server)


@pytest.fixture
def world(hills: SyncWorld) -> Iterator[SyncWorld]:
    hills.clear()
    yield hills
    hills.clear()


def place(world: SyncWorld, road: int, s: float, lane: int = -1, up: float = 0.3) -> carla.Transform:
    found = world.map.get_waypoint_xodr(road, lane, s).transform
    found.location.z += up
    return found


def car(world: SyncWorld, road: int, s: float, lane: int = -1) -> carla.Vehicle:
    """A car that stands on the road, brakes on."""
    vehicle = world.spawn("vehicle.tesla.model3", place(world, road, s, lane))
    vehicle.apply_control(carla.VehicleControl(hand_brake=True))
    world.ticks(10)
    return vehicle


def signed(angle: float) -> float:
    return (angle + 180.0) % 360.0 - 180.0


def follow(world: SyncWorld, vehicle: carla.Vehicle, speed: float) -> carla.VehicleControl:
    """Steer for the lane ahead, hold a speed."""
    here = vehicle.get_transform()
    waypoint = world.map.get_waypoint(here.location)
    ahead = waypoint.next(6.0)
    target = (ahead or [waypoint])[0].transform.location - here.location
    error = signed(math.degrees(math.atan2(target.y, target.x)) - here.rotation.yaw)
    v = vehicle.get_velocity().length()
    pedal = 0.4 * (speed - v) + 0.25
    return carla.VehicleControl(
        min(max(pedal, 0.0), 1.0), min(max(error / 35.0, -1.0), 1.0), min(max(-pedal, 0.0), 1.0)
    )


def test_a_car_holds_its_speed_uphill_and_follows_the_waypoints(world: SyncWorld) -> None:
    vehicle = car(world, HILL, 30.0)
    speeds = []
    for _ in range(600):
        vehicle.apply_control(follow(world, vehicle, 12.0))
        world.world.tick()
        here = vehicle.get_transform()
        waypoint = world.map.get_waypoint(here.location).transform
        if here.location.x > 330.0:
            break
        assert here.location.z == pytest.approx(waypoint.location.z, abs=0.04)
        # Waypoints have the grade itself for an angle.
        assert here.rotation.pitch == pytest.approx(signed(waypoint.rotation.pitch), abs=1.0)
        assert here.rotation.roll == pytest.approx(0.0, abs=0.3)
        if 100.0 < here.location.x < 270.0:
            speeds.append(vehicle.get_velocity().length())
            assert here.rotation.pitch == pytest.approx(math.degrees(math.atan(GRADE)), abs=0.2)
            assert vehicle.get_velocity().z == pytest.approx(GRADE * vehicle.get_velocity().x, rel=0.02)
    assert here.location.x > 300.0
    assert np.ptp(speeds) < 1.5
    assert np.mean(speeds) == pytest.approx(12.0, abs=1.2)


def test_downhill_the_nose_points_down(world: SyncWorld) -> None:
    vehicle = car(world, HILL, 200.0, lane=1)
    assert vehicle.get_transform().rotation.pitch == pytest.approx(-math.degrees(math.atan(GRADE)), abs=0.2)


def test_a_car_without_brakes_rolls_back(world: SyncWorld) -> None:
    vehicle = car(world, HILL, 200.0)
    start = vehicle.get_location()
    world.ticks(20)
    assert vehicle.get_location().distance(start) < 1e-3, "the hand brake holds it"
    vehicle.apply_control(carla.VehicleControl())
    world.ticks(40)
    rolled = vehicle.get_location() - start
    assert rolled.x < -0.5
    assert rolled.z == pytest.approx(GRADE * rolled.x, abs=0.02)


def test_a_tilted_bend_tilts_the_car(world: SyncWorld) -> None:
    vehicle = car(world, BEND, 40.0)
    for _ in range(60):
        vehicle.apply_control(follow(world, vehicle, 8.0))
        world.world.tick()
    here = vehicle.get_transform()
    waypoint = world.map.get_waypoint(here.location)
    centre, right = waypoint.transform.location, waypoint.transform.get_right_vector()
    left = -1.75 - (here.location - centre).dot(right)
    assert here.location.z == pytest.approx(centre.z + left * math.tan(ROLL_RAD), abs=0.05)
    assert here.rotation.roll == pytest.approx(math.degrees(ROLL_RAD), abs=1.0), "it falls to the right"


def test_cars_pass_above_each_other(world: SyncWorld) -> None:
    below, above = car(world, STREET, 130.0), car(world, OVER, 130.0)
    events = [world.listen(world.spawn("sensor.other.collision", carla.Transform(), parent=one))[1]
              for one in (below, above)]  # fmt: skip
    nearest = math.inf
    for _ in range(120):
        for one in (below, above):
            one.apply_control(follow(world, one, 9.0))
        world.world.tick()
        a, b = below.get_location(), above.get_location()
        nearest = min(nearest, math.hypot(a.x - b.x, a.y - b.y))
        assert a.z == pytest.approx(0.0, abs=0.03)
        assert b.z == pytest.approx(world.map.get_waypoint(b).transform.location.z, abs=0.04)
    assert nearest < 2.5, "one above the other"
    assert all(queue.empty() for queue in events)
    assert below.get_location().x > 20.0
    assert above.get_location().y < -520.0


def test_walkers_props_and_sensors_are_at_the_roads_height(world: SyncWorld) -> None:
    spot = place(world, HILL, 200.0, up=1.2)
    ground = world.map.get_waypoint_xodr(HILL, -1, 200.0).transform.location.z
    walker = world.spawn("walker.pedestrian.0001", spot)
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 2.0))
    vehicle = car(world, HILL, 150.0)
    gnss = world.spawn("sensor.other.gnss", carla.Transform(carla.Location(2.0, 0.0, 1.0)), parent=vehicle)
    world.ticks(20)
    feet = walker.get_location().z - walker.bounding_box.extent.z
    walked = walker.get_location().x - spot.location.x
    assert walked > 1.0
    assert feet == pytest.approx(ground + GRADE * walked, abs=0.05)
    here = vehicle.get_transform()
    mount = here.transform(carla.Location(2.0, 0.0, 1.0))
    assert gnss.get_location().distance(mount) < 1e-3
    assert mount.z - here.location.z > 1.1, "the nose is up"


def test_rays_meet_the_road_and_the_bridge(world: SyncWorld) -> None:
    hit = world.world.ground_projection(carla.Location(180.0, 1.75, 60.0), 100.0)
    assert hit.location.z == pytest.approx(world.map.get_waypoint_xodr(HILL, -1, 180.0).transform.location.z, abs=0.01)
    assert hit.label == carla.CityObjectLabel.Roads
    y = -CROSSING.y
    assert world.world.ground_projection(carla.Location(0.0, y, 30.0), 100.0).location.z == pytest.approx(6.0, abs=0.01)
    assert world.world.ground_projection(carla.Location(0.0, y, 4.0), 100.0).location.z == pytest.approx(0.0, abs=0.01)
    through = world.world.project_point(carla.Location(-40.0, y, 3.0), carla.Vector3D(1.0, 0.0, 0.0), 80.0)
    assert through is None
    beside = world.world.ground_projection(carla.Location(180.0, 30.0, 60.0), 100.0)
    assert beside.label == carla.CityObjectLabel.Terrain
    assert beside.location.z == pytest.approx(hit.location.z, abs=1.5)


def test_spawn_points_are_over_their_roads(world: SyncWorld) -> None:
    points = world.map.get_spawn_points()
    heights = []
    for point in points:
        waypoint = world.map.get_waypoint(point.location)
        heights.append(point.location.z)
        tilt = 0.3 if waypoint.road_id == BEND else 0.03
        assert point.location.z - waypoint.transform.location.z == pytest.approx(0.5, abs=tilt)
        assert point.rotation.pitch == pytest.approx(signed(waypoint.transform.rotation.pitch), abs=1.0)
    assert max(heights) - min(heights) > 15.0
    assert world.spawn("vehicle.tesla.model3", points[len(points) // 2]) is not None


def test_a_camera_sees_the_hill_and_houses_on_the_ground(world: SyncWorld) -> None:
    """Looking east along the road's foot: the road rises into what would be sky on the flat."""
    vehicle = car(world, HILL, 10.0)
    _, pictures = world.camera("semantic_segmentation", vehicle, image_size_x=128, image_size_y=72)
    world.ticks(2)
    image = [pictures.get(timeout=10.0) for _ in range(2)][-1]
    tags = np.frombuffer(image.raw_data, np.uint8).reshape(72, 128, 4)[..., 2]
    road = np.argwhere(tags == int(carla.CityObjectLabel.Roads))
    assert road[:, 0].min() < 34, "it climbs above the horizon, which is at row 36"
    boxes = world.world.get_level_bbs(carla.CityObjectLabel.Buildings)
    for box in boxes:
        bottom = box.location.z - box.extent.z
        below = world.world.project_point(
            carla.Location(box.location.x, box.location.y, bottom + 0.5), carla.Vector3D(0.0, 0.0, -1.0), 50.0
        )
        assert below is None or bottom - 3.5 < below.location.z
