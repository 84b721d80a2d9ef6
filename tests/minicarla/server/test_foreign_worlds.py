"""Worlds of drawn OpenDRIVE texts, one after another in one server: they are driven by the real client."""

import math
from collections.abc import Iterator

import carla
import drawn_maps
import pytest
from hypothesis import HealthCheck, given, settings
from server_process import ServerProcess, running_server


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running_server("--town", "Grid01") as process:
        yield process


def steer_along(carla_map: carla.Map, car: carla.Vehicle) -> carla.VehicleControl:
    here = car.get_transform()
    ahead = carla_map.get_waypoint(here.location).next(6.0)
    if not ahead:
        return carla.VehicleControl(brake=1.0)
    target = ahead[0].transform.location - here.location
    error = math.degrees(math.atan2(target.y, target.x)) - here.rotation.yaw
    error = (error + 180.0) % 360.0 - 180.0
    throttle = 0.6 if car.get_velocity().length() < 6.0 else 0.0
    return carla.VehicleControl(throttle, min(max(error / 35.0, -1.0), 1.0))


@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(drawn=drawn_maps.maps())
def test_cars_follow_the_lanes_of_any_map(server: ServerProcess, drawn: drawn_maps.Drawn) -> None:
    """Either rule of the road, hills, tilted roads, junctions: on the lane's middle, at its height, nothing hit."""
    client = server.client()
    world = client.generate_opendrive_world(drawn.text)
    world.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    carla_map = world.get_map()
    model = world.get_blueprint_library().find("vehicle.tesla.model3")
    points = carla_map.get_spawn_points()
    assert points
    cars = [world.spawn_actor(model, point) for point in points[:: max(len(points) // 4, 1)][:4]]
    tilted = {road.id for road in drawn.roads if road.superelevation}
    for tick in range(60):
        for car in cars:
            car.apply_control(steer_along(carla_map, car))
        world.tick()
        for car in cars if tick > 10 else ():
            here = car.get_transform()
            waypoint = carla_map.get_waypoint(here.location)
            lane = waypoint.transform
            assert (here.location - lane.location).dot(lane.get_right_vector()) == pytest.approx(0.0, abs=0.8)
            assert math.cos(math.radians(here.rotation.yaw - lane.rotation.yaw)) > 0.9, "with the traffic"
            assert here.location.z == pytest.approx(lane.location.z, abs=0.5 if waypoint.road_id in tilted else 0.1)
    assert max(car.get_velocity().length() for car in cars) > 2.0
