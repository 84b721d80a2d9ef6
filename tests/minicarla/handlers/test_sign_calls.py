"""Traffic signs as the stock client sees them, and what they tell its vehicles."""

import carla
import pytest
from server_process import SyncWorld


def test_every_sign_has_its_actor(sync: SyncWorld):
    landmarks = sync.map.get_all_landmarks_of_type("274")
    signs = sync.world.get_actors().filter("traffic.speed_limit.*")
    assert len(signs) == len(landmarks) == 21
    for landmark in landmarks:
        sign = sync.world.get_traffic_sign(landmark)
        assert type(sign) is carla.TrafficSign
        assert sign.type_id == f"traffic.speed_limit.{landmark.value:.0f}"
        assert int(carla.CityObjectLabel.TrafficSigns) in sign.semantic_tags
        assert sign.get_location().distance(landmark.transform.location) < 0.1


def test_the_trigger_volume_lies_on_the_lane_before_the_plate(sync: SyncWorld):
    for landmark in sync.map.get_all_landmarks_of_type("274"):
        sign = sync.world.get_traffic_sign(landmark)
        centre, extent = sign.trigger_volume.location, sign.trigger_volume.extent
        assert centre.x < -2.0  # to the left of the plate, whose x axis looks to the right of the traffic
        sign.get_transform().transform(centre)
        lane = sync.map.get_waypoint(centre)
        assert lane.lane_id == landmark.get_lane_validities()[0][0]
        assert extent.x == pytest.approx(extent.y, rel=0.01)
        assert lane.transform.location.distance(carla.Location(centre.x, centre.y, 0.0)) < 0.05


def test_lights_and_signs_look_across_the_lanes(sync: SyncWorld):
    """As CARLA's blueprints do: scripts walk along the x axis of a light's trigger volume to find its lanes."""
    for actor in [*sync.world.get_actors().filter("traffic.*")][::5]:
        volume = actor.trigger_volume
        centre = volume.location
        actor.get_transform().transform(centre)
        forward = sync.map.get_waypoint(centre).transform.get_forward_vector()
        across = actor.get_transform().get_forward_vector()
        assert abs(forward.dot(across)) < 0.02
        assert volume.extent.x < 2.1  # m, of a lane 4 m wide


def test_signs_belong_to_the_town(sync: SyncWorld):
    sign = sync.world.get_actors().filter("traffic.speed_limit.*")[0]
    assert not sign.destroy()
    sync.world.tick()
    assert sync.world.get_actor(sign.id) is not None


def test_a_car_has_the_limit_of_the_sign_it_passed_last(sync: SyncWorld):
    landmark = next(mark for mark in sync.map.get_all_landmarks_of_type("274") if mark.value == 60.0)
    lane = landmark.get_lane_validities()[0][0]
    sign = sync.map.get_waypoint_xodr(landmark.road_id, lane, landmark.s)
    car = sync.spawn("vehicle.tesla.model3", sign.previous(8.0)[0].transform)
    car.enable_constant_velocity(carla.Vector3D(10.0, 0.0, 0.0))
    sync.ticks(2)
    assert car.get_speed_limit() == 30.0
    sync.ticks(20)
    assert car.get_speed_limit() == 60.0
    car.set_transform(sign.previous(40.0)[0].transform)
    sync.world.tick()
    assert car.get_speed_limit() == 60.0
