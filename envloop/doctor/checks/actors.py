"""Cars: made and removed, put somewhere, driven."""

import math

import carla

from envloop.doctor.finding import Check, Finding, judged
from envloop.doctor.subject import Subject, ahead

_ROUNDS = 5
_TELEPORT_M = 0.1
_AT_REST_MPS = 0.1
_SECONDS = 3.0


def _spawning(subject: Subject) -> Finding:
    place = subject.straight_places(20.0)[0]
    before = _vehicles(subject)
    unseen = refused = 0
    for _ in range(_ROUNDS):
        with subject.car(place) as car:
            unseen += subject.world.get_snapshot().find(car.id) is None
            second = subject.world.try_spawn_actor(subject.world.get_blueprint_library().find(car.type_id), place)
            refused += second is None
            if second is not None:
                with subject.destroyed(second):
                    pass
    left = _vehicles(subject) - before
    return judged(
        fails=bool(unseen or left or refused < _ROUNDS),
        measured=f"{_ROUNDS} cars: {_ROUNDS - unseen} seen, {_ROUNDS - left} gone again; "
        f"{refused} of {_ROUNDS} refused where one stood",
        advice="Actors of earlier runs may be left over: restart the server, or reload its map.",
        values={"spawned": _ROUNDS, "unseen": unseen, "left": left, "refused": refused},
    )


def _vehicles(subject: Subject) -> int:
    """How many the last snapshot shows."""
    ids = {actor.id for actor in subject.world.get_actors().filter("vehicle.*")}
    return sum(state.id in ids for state in subject.world.get_snapshot())


SPAWNING = Check("spawn and destroy", "A car is in the next state, alone in its place, gone when destroyed", _spawning)


def _teleport(subject: Subject) -> Finding:
    here, *others = subject.straight_places(20.0)
    far = others[-1] if others else ahead(here, 15.0)
    with subject.car(here) as car:
        car.set_simulate_physics(False)
        car.set_transform(far)
        car.set_target_velocity(carla.Vector3D())
        subject.simulator.tick()
        off_m = _distance(car.get_location(), far.location)
        car.set_simulate_physics(True)
        car.apply_control(carla.VehicleControl(brake=1.0))
        subject.ticks(10)
        speed_mps = car.get_velocity().length()
        fell_m = far.location.z - car.get_location().z
    return judged(
        fails=off_m > _TELEPORT_M or speed_mps > _AT_REST_MPS,
        measured=f"{off_m:.3f} m off after one tick; after ten {speed_mps:.2f} m/s, {fell_m:.2f} m lower",
        advice="Resets would begin elsewhere, or rolling: raise env.settle_ticks; check the server's physics.",
        values={"off_m": off_m, "speed_mps": speed_mps, "fell_m": fell_m},
    )


def _distance(one: carla.Location, other: carla.Location) -> float:
    return math.hypot(one.x - other.x, one.y - other.y)


TELEPORT = Check("teleport", "A car is where it was put after one tick, and at rest after ten", _teleport)


def _driving(subject: Subject) -> Finding:
    place = subject.straight_places(40.0)[0]
    delta_s = subject.simulator.config.fixed_delta_s
    ticks = round(_SECONDS / delta_s)
    with subject.car(place) as car:
        car.apply_control(carla.VehicleControl(throttle=1.0))
        subject.ticks(ticks)
        fast_mps = car.get_velocity().length()
        yaw = car.get_transform().rotation.yaw
        car.apply_control(carla.VehicleControl(throttle=0.3, steer=0.3))
        subject.ticks(round(0.5 / delta_s))
        turned_deg = (car.get_transform().rotation.yaw - yaw + 180.0) % 360.0 - 180.0
        car.apply_control(carla.VehicleControl(brake=1.0))
        stop_s = _ticks_to_rest(subject, car, ticks) * delta_s
    stopped = stop_s < _SECONDS
    return judged(
        fails=fast_mps < 2.0 or turned_deg < 1.0 or not stopped,
        measured=f"0 to {fast_mps:.1f} m/s in {_SECONDS:g} s; steering right turns {turned_deg:+.1f} degrees in 0.5 s; "
        + (f"stands after {stop_s:.1f} s of braking" if stopped else f"still rolls after {_SECONDS:g} s of braking"),
        advice="Controls do not reach the car, or another client drives it: no autopilot and no second client here.",
        values={"speed_after_3s_mps": fast_mps, "turned_deg": turned_deg, "braking_s": stop_s},
    )


def _ticks_to_rest(subject: Subject, car: carla.Vehicle, most: int) -> int:
    for tick in range(most):
        if car.get_velocity().length() < _AT_REST_MPS:
            return tick
        subject.simulator.tick()
    return most


DRIVING = Check("driving", "Throttle speeds up, steering right turns right, the brake stops", _driving)
