"""A walker's skeleton: CARLA's bones, a gait, and a pose set by a client."""

import math

import carla
import numpy as np
import pytest
from server_process import SyncWorld

WALKER = "walker.pedestrian.0022"
HEIGHT_M = 1.86


@pytest.fixture
def walker(sync: SyncWorld) -> carla.Walker:
    walker = sync.spawn(WALKER, sync.spawn_points[20])
    sync.world.tick()
    return walker


def bones(walker: carla.Walker) -> dict[str, carla.Transform]:
    return {bone.name: bone for bone in walker.get_bones().bone_transforms}


def test_a_figure_stands_on_its_feet_where_the_walker_is(walker: carla.Walker) -> None:
    found, place = bones(walker), walker.get_transform()
    names = list(found)
    assert len(names) == 66  # as a CARLA client lists them
    assert names == walker.get_bone_names()
    assert [names[0], names[1], names[-1]] == ["crl_root", "crl_hips__C", "crl_toeEnd__L"]
    for bone in found.values():
        assert place.transform(carla.Location(bone.component.location)).distance(bone.world.location) < 1e-3
    feet = place.location.z - walker.bounding_box.extent.z
    height = {name: bone.world.location.z - feet for name, bone in found.items()}
    # Those of CARLA's walker, read off a client's log of one that walks.
    published = {"crl_hips__C": 1.007, "crl_spine01__C": 1.280, "crl_neck__C": 1.471, "crl_Head__C": 1.557}
    assert {name: height[name] for name in published} == pytest.approx(published, abs=0.02)
    assert 0.0 <= min(height.values()) < 0.1
    assert max(height.values()) < HEIGHT_M
    for side, right in (("L", -1.0), ("R", 1.0)):
        assert right * found[f"crl_arm__{side}"].component.location.y == pytest.approx(0.155, abs=0.01)


def test_worlds_and_relative_places_are_those_of_the_calls_that_every_actor_has(walker: carla.Walker) -> None:
    of_walker = list(bones(walker).values())
    worlds, relatives = walker.get_bone_world_transforms(), walker.get_bone_relative_transforms()
    for bone, world, relative in zip(of_walker, worlds, relatives, strict=True):
        assert bone.world.location.distance(world.location) < 1e-4
        assert bone.relative.location.distance(relative.location) < 1e-4


def test_legs_swing_in_turns_while_it_walks_and_stand_when_it_stands(sync: SyncWorld, walker: carla.Walker) -> None:
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.4))
    ahead = []
    for _ in range(40):
        sync.world.tick()
        found = bones(walker)
        ahead.append([found[f"crl_{part}"].component.location.x for part in ("foot__L", "foot__R", "hand__L")])
    left, right, hand = np.array(ahead).T
    assert left.max() > 0.25
    assert right.max() > 0.25
    assert np.corrcoef(left, right)[0, 1] < -0.7
    assert np.corrcoef(left, hand)[0, 1] < -0.7
    # 2 s at 1.4 m/s: steps of some 0.7 m, so each foot comes forward about twice.
    assert np.count_nonzero(np.diff(np.sign(left - right))) in (3, 4, 5)
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 0.0))
    sync.ticks(2)
    found = bones(walker)
    assert found["crl_foot__L"].component.location.x == pytest.approx(found["crl_foot__R"].component.location.x)


def test_a_pose_is_seen_as_far_as_it_is_blended(sync: SyncWorld, walker: carla.Walker) -> None:
    def hand() -> carla.Location:
        return bones(walker)["crl_hand__L"].component.location

    hanging, arm = hand(), bones(walker)["crl_arm__L"].relative
    arm.rotation.pitch = 180.0
    control = carla.WalkerBoneControlIn()
    control.bone_transforms = [("crl_arm__L", arm), ("crl_tail__C", arm)]
    walker.set_bones(control)
    assert hand().distance(hanging) < 1e-3
    walker.show_pose()
    raised = hand()
    assert raised.z - hanging.z == pytest.approx(2 * 0.49, abs=0.02)
    walker.blend_pose(0.5)
    assert hanging.z < hand().z < raised.z
    walker.blend_pose(-3.0)
    assert hand().distance(hanging) < 1e-3
    walker.show_pose()
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.4))
    sync.ticks(5)
    assert hand().distance(raised) < 1e-3
    walker.hide_pose()
    moving = hand()
    walker.get_pose_from_animation()
    walker.show_pose()
    sync.ticks(5)
    assert hand().distance(moving) < 1e-3


def test_a_car_that_hits_a_walker_tells_both(sync: SyncWorld, walker: carla.Walker) -> None:
    place = walker.get_transform()
    behind = place.location - 8.0 * place.get_forward_vector()
    car = sync.spawn("vehicle.tesla.model3", carla.Transform(behind + carla.Location(z=0.3), place.rotation))
    (_, of_car), (_, of_walker) = (
        sync.listen(sync.spawn("sensor.other.collision", carla.Transform(), hit)) for hit in (car, walker)
    )
    sync.ticks(10)
    forward = car.get_transform().get_forward_vector()
    car.set_target_velocity(8.0 * forward)
    sync.ticks(20)
    event, mirrored = of_car.get(timeout=10.0), of_walker.get(timeout=10.0)
    assert (event.other_actor.id, mirrored.other_actor.id) == (walker.id, car.id)
    assert event.frame == mirrored.frame
    push = mirrored.normal_impulse
    assert push.dot(forward) > 100.0  # N s on the walker, ahead
    assert math.isclose(push.length(), event.normal_impulse.length(), rel_tol=1e-3)
