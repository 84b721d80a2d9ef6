"""Traffic lights: actors, landmarks, states, times, freezing, and what a vehicle is told about them."""

import carla
import pytest
from server_process import SyncWorld

GREEN, YELLOW, RED = carla.TrafficLightState.Green, carla.TrafficLightState.Yellow, carla.TrafficLightState.Red


def lights_of(sync: SyncWorld) -> list[carla.TrafficLight]:
    return sorted(sync.world.get_actors().filter("traffic.traffic_light"), key=lambda light: light.id)


def test_every_signal_has_its_actor(sync: SyncWorld):
    lights = lights_of(sync)
    assert len(lights) == 36
    landmarks = sync.map.get_all_landmarks_of_type("1000001")
    assert {landmark.id for landmark in landmarks} == {light.get_opendrive_id() for light in lights}
    for landmark in landmarks[::10]:
        assert sync.world.get_traffic_light(landmark).get_opendrive_id() == landmark.id
        assert sync.world.get_traffic_light_from_opendrive_id(landmark.id) is not None


def test_groups_are_junctions(sync: SyncWorld):
    light = lights_of(sync)[0]
    group = light.get_group_traffic_lights()
    assert light.id in [member.id for member in group]
    assert len(group) == 3
    assert sorted(member.get_pole_index() for member in group) == [0, 1, 2]
    assert len([member for member in group if member.get_state() == GREEN]) == 1


def test_trigger_volume_lies_before_the_stop_line(sync: SyncWorld):
    for light in lights_of(sync)[::6]:
        centre = light.trigger_volume.location
        light.get_transform().transform(centre)
        assert sync.map.get_waypoint(centre, project_to_road=False) is not None
        assert light.get_affected_lane_waypoints()
        assert light.get_light_boxes()


def test_cycle(sync: SyncWorld):
    light = next(light for light in lights_of(sync) if light.get_state() == GREEN)
    assert (light.get_green_time(), light.get_yellow_time(), light.get_red_time()) == (10.0, 3.0, 2.0)
    sync.ticks(round(10.0 / 0.05) - 5)
    assert light.get_state() == GREEN
    assert light.get_elapsed_time() > 9.0
    sync.ticks(8)
    assert light.get_state() == YELLOW
    assert light.get_elapsed_time() < 1.0


def test_state_and_times_by_hand(sync: SyncWorld):
    light = next(light for light in lights_of(sync) if light.get_state() == RED)
    light.set_state(YELLOW)
    light.set_green_time(33.0)
    light.set_yellow_time(4.0)
    light.set_red_time(5.0)
    sync.world.tick()
    assert light.get_state() == YELLOW
    assert (light.get_green_time(), light.get_yellow_time(), light.get_red_time()) == (33.0, 4.0, 5.0)
    light.set_green_time(10.0)
    light.set_yellow_time(3.0)
    light.set_red_time(2.0)
    sync.world.reset_all_traffic_lights()
    sync.world.tick()
    assert light.get_state() == RED


def test_frozen_lights_stay(sync: SyncWorld):
    lights = lights_of(sync)
    lights[0].freeze(True)
    sync.world.tick()
    before = [light.get_state() for light in lights]
    assert all(light.is_frozen() for light in lights)
    sync.ticks(260)
    assert [light.get_state() for light in lights] == before
    sync.world.freeze_all_traffic_lights(False)
    sync.ticks(260)
    assert [light.get_state() for light in lights] != before


def test_reset_of_a_group_leaves_the_others(sync: SyncWorld):
    light = lights_of(sync)[0]
    group = {member.id for member in light.get_group_traffic_lights()}
    sync.ticks(round(12.0 / 0.05))
    others = {other.id: other.get_state() for other in lights_of(sync) if other.id not in group}
    assert YELLOW in others.values()
    light.reset_group()
    sync.ticks(2)
    assert [member.get_state() for member in light.get_group_traffic_lights()].count(GREEN) == 1
    assert {other.id: other.get_state() for other in lights_of(sync) if other.id not in group} == others


def test_vehicle_is_told_about_its_light(sync: SyncWorld):
    light = lights_of(sync)[0]
    centre = light.trigger_volume.location
    light.get_transform().transform(centre)
    stop = sync.map.get_waypoint(centre).transform
    car = sync.spawn("vehicle.tesla.model3", stop)
    for state in (RED, GREEN, YELLOW):
        light.set_state(state)
        sync.world.tick()
        assert car.is_at_traffic_light()
        assert car.get_traffic_light_state() == state
        assert car.get_traffic_light().id == light.id
    car.set_transform(carla.Transform(stop.location, carla.Rotation(yaw=stop.rotation.yaw + 180.0)))
    sync.world.tick()
    assert not car.is_at_traffic_light()
    assert car.get_traffic_light() is None
    assert car.get_speed_limit() == pytest.approx(30.0)
