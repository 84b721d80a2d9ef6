"""Batches: what the answer says, and what is there then."""

import carla
import pytest
from server_process import SyncWorld


@pytest.mark.parametrize("blueprint", ["walker.pedestrian.0001", "vehicle.tesla.model3"])
def test_a_command_that_fails_after_a_spawn_does_not_fail_the_spawn(sync: SyncWorld, blueprint: str):
    """As on CARLA's server, whose answer is the spawn's alone."""
    command, place = carla.command, carla.Transform(carla.Location(150.0, 133.0, 1.0))
    spawn = command.SpawnActor(sync.blueprints.find(blueprint), place)
    spawn = spawn.then(command.ApplyVehicleControl(command.FutureActor, carla.VehicleControl(throttle=1.0)))
    spawn = spawn.then(command.ApplyWalkerControl(command.FutureActor, carla.WalkerControl(speed=2.0)))
    spawn = spawn.then(command.SetSimulatePhysics(command.FutureActor, False))
    (answer,) = sync.client.apply_batch_sync([spawn], True)
    assert not answer.has_error()
    (actor,) = sync.world.get_actors().filter(blueprint)
    assert actor.id == answer.actor_id
    sync.ticks(3)
    assert actor.get_velocity().length() == 0.0, "what comes after the one that failed is done"


def test_commands_after_a_spawn_are_about_what_was_spawned(sync: SyncWorld):
    """CARLA's server puts the new id into each, whichever it had."""
    bystander = sync.car()
    command = carla.command
    spawn = command.SpawnActor(sync.blueprints.find("vehicle.audi.tt"), sync.spawn_points[20])
    (answer,) = sync.client.apply_batch_sync([spawn.then(command.DestroyActor(bystander.id))], True)
    assert not answer.has_error()
    assert sync.world.get_snapshot().has_actor(bystander.id)
    assert not sync.world.get_snapshot().has_actor(answer.actor_id)


def test_a_spawn_that_fails_takes_its_commands_with_it(sync: SyncWorld):
    car = sync.car()
    command = carla.command
    spawn = command.SpawnActor(sync.blueprints.find("vehicle.audi.tt"), car.get_transform())
    first, second = sync.client.apply_batch_sync(
        [spawn.then(command.DestroyActor(command.FutureActor)), command.DestroyActor(car)], True
    )
    assert "collision" in first.error
    assert not second.has_error()
