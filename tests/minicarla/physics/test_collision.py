"""Collisions: momentum, energy and separation as they must be, no tunnelling, and the queries of spawns and sensors."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicarla.geometry.boxes import penetration
from minicarla.geometry.types import OrientedBox
from minicarla.physics.collision import RESTITUTION, SLIDING_FRICTION, Body, CollisionWorld, Contact
from minicarla.physics.rows import BODIES, Control, VehicleState, WalkerState
from minicarla.physics.vehicle import step_vehicle
from minicarla.physics.vehicle_params import VEHICLES, vehicle_params
from minicarla.physics.walkers import WALKER_EXTENT, WALKER_MASS

MODEL3 = vehicle_params("vehicle.tesla.model3")
DT = 0.05
WALL = OrientedBox(20.0, 0.0, 1.5, 0.0, 0.15, 10.0, 1.5)  # thin, across the way along x
FREE = CollisionWorld([])


def car(actor_id: int, blueprint: str = "vehicle.tesla.model3", **motion: float) -> Body:
    params = vehicle_params(blueprint)
    state = VehicleState(**motion)
    return Body(actor_id, state, params.extent, params.box_centre, params.mass, params.gyration_sq)


def step(world: CollisionWorld, bodies: list[Body], dt: float) -> list[Contact]:
    """`CollisionWorld.step` of bodies that stand alone."""
    rows = np.zeros(len(bodies), BODIES)
    for row, body in zip(rows, bodies, strict=True):
        for name in BODIES["state"].names:
            row["state"][name] = getattr(body.state, name)
        (ex, ey, ez), (x, z) = body.extent, body.box_centre
        row["solid"] = (ex, ey, ez, x, z, body.radius, True)
    return world.step(bodies, rows, np.arange(len(bodies)), dt)


def momentum(bodies: list[Body]) -> tuple[float, float]:
    return sum(b.mass * b.state.vx for b in bodies), sum(b.mass * b.state.vy for b in bodies)


def energy(bodies: list[Body]) -> float:
    return sum(
        0.5 * b.mass * (b.state.vx**2 + b.state.vy**2 + b.gyration_sq * math.radians(b.state.yaw_rate) ** 2)
        for b in bodies
    )


def coast(world: CollisionWorld, bodies: list[Body], seconds: float) -> list[Contact]:
    """Bodies fly on, without tyres, and collide."""
    contacts = []
    for _ in range(round(seconds / DT)):
        for body in bodies:
            body.state.x += body.state.vx * DT
            body.state.y += body.state.vy * DT
            body.state.yaw += body.state.yaw_rate * DT
        contacts += step(world, bodies, DT)
    return contacts


def _numbered(bodies: list[Body]) -> list[Body]:
    for number, body in enumerate(bodies):
        body.actor_id = number
    return bodies


some_cars = st.lists(
    st.builds(
        lambda blueprint, x, y, yaw, vx, vy, yaw_rate: car(
            0, blueprint, x=x, y=y, yaw=yaw, vx=vx, vy=vy, yaw_rate=yaw_rate
        ),
        st.sampled_from(sorted(VEHICLES)),
        st.floats(-5.0, 5.0),
        st.floats(-5.0, 5.0),
        st.floats(-180.0, 180.0),
        st.floats(-20.0, 20.0),
        st.floats(-20.0, 20.0),
        st.floats(-90.0, 90.0),
    ),
    min_size=2,
    max_size=5,
).map(_numbered)


class TestImpulse:
    def test_a_head_on_crash_of_equal_cars_is_newtons(self) -> None:
        a, b = car(1, x=-2.3, vx=10.0), car(2, x=2.3, yaw=180.0, vx=-10.0)
        (contact,) = step(FREE, [a, b], DT)
        assert a.state.vx == pytest.approx(-10.0 * RESTITUTION)
        assert b.state.vx == pytest.approx(10.0 * RESTITUTION)
        assert contact.impulse == pytest.approx((-MODEL3.mass * 10.0 * (1 + RESTITUTION), 0.0, 0.0))
        assert contact.normal == pytest.approx((-1.0, 0.0, 0.0))
        assert (contact.a_id, contact.b_id, contact.static_index) == (1, 2, None)

    def test_a_rear_end_crash_pushes_the_standing_car(self) -> None:
        a, b = car(1, x=0.0, vx=8.0), car(2, x=4.7)
        step(FREE, [a, b], DT)
        # Equal masses: the centre of mass goes on at 4, they part at 0.1 of 8.
        assert (a.state.vx, b.state.vx) == pytest.approx((4.0 - 0.4, 4.0 + 0.4))

    def test_a_wall_gives_back_the_tenth_part(self) -> None:
        world = CollisionWorld([WALL])
        body = car(7, x=17.7, vx=10.0)
        (contact,) = step(world, [body], DT)
        assert body.state.vx == pytest.approx(-10.0 * RESTITUTION)
        assert (contact.a_id, contact.b_id, contact.static_index) == (7, None, 0)
        assert contact.impulse[0] == pytest.approx(-MODEL3.mass * 10.0 * (1 + RESTITUTION))
        assert contact.point[0] == pytest.approx(19.85, abs=0.05)

    def test_a_wall_that_is_taken_away_is_passed_also_by_who_has_met_it(self) -> None:
        world = CollisionWorld([WALL])
        assert step(world, [car(7, x=17.7, vx=10.0)], DT)
        assert not step(world.without({0}), [car(7, x=17.7, vx=10.0)], DT)
        assert step(world, [car(7, x=17.7, vx=10.0)], DT)

    def test_a_gentle_touch_does_not_bounce(self) -> None:
        body = car(7, x=17.5, vx=0.5)
        step(CollisionWorld([WALL]), [body], DT)
        assert body.state.vx == 0.0

    def test_a_scrape_along_a_wall_slows_by_coulomb_friction_and_keeps_going(self) -> None:
        side_wall = OrientedBox(0.0, 3.0, 1.5, 0.0, 50.0, 0.5, 1.5)
        body = car(7, y=1.45, vx=10.0, vy=2.0)
        (contact,) = step(CollisionWorld([side_wall]), [body], DT)
        jx, jy, _ = contact.impulse
        assert abs(jx) == pytest.approx(SLIDING_FRICTION * abs(jy), rel=1e-6)
        assert 8.0 < body.state.vx < 10.0
        assert body.state.vy <= 0.0

    def test_a_hit_off_centre_spins_the_car(self) -> None:
        a, b = car(1, x=0.0, y=0.0), car(2, x=-4.7, y=1.5, vx=10.0)
        step(FREE, [a, b], DT)
        assert a.state.yaw_rate < -5.0  # pushed forward on its right side: it turns left

    def test_a_heavy_truck_shoves_a_bicycle(self) -> None:
        truck = car(1, "vehicle.carlamotors.firetruck", x=0.0, vx=8.0)
        bicycle = car(2, "vehicle.bh.crossbike", x=4.7)
        step(FREE, [truck, bicycle], DT)
        assert truck.state.vx > 7.8
        assert bicycle.state.vx > 8.0

    def test_a_body_without_physics_is_a_wall_to_others(self) -> None:
        a, b = car(1, x=0.0, vx=8.0), car(2, x=4.7)
        b.state.simulate_physics = False
        step(FREE, [a, b], DT)
        assert (b.state.x, b.state.vx) == (4.7, 0.0)
        assert a.state.vx < 0.0

    def test_a_walker_is_pushed_and_does_not_spin(self) -> None:
        a = car(1, x=0.0, vx=8.0)
        walker = Body(2, WalkerState(x=2.5, y=0.8, z=0.93), WALKER_EXTENT, mass=WALKER_MASS)
        contacts = step(FREE, [a, walker], DT)
        assert len(contacts) == 1
        assert walker.state.vx > 5.0
        assert walker.state.yaw_rate == 0.0

    def test_acceleration_shows_the_crash(self) -> None:
        body = car(7, x=17.7, vx=10.0)
        step(CollisionWorld([WALL]), [body], DT)
        assert body.state.ax == pytest.approx(-10.0 * (1 + RESTITUTION) / DT)

    @settings(max_examples=60, deadline=None)
    @given(bodies=some_cars)
    def test_momentum_stays_and_energy_never_grows(self, bodies: list[Body]) -> None:
        p, e = momentum(bodies), energy(bodies)
        step(FREE, bodies, DT)
        assert momentum(bodies) == pytest.approx(p, rel=1e-9, abs=1e-6)
        assert energy(bodies) <= e * (1 + 1e-9)

    @settings(max_examples=60, deadline=None)
    @given(bodies=some_cars)
    def test_contacts_account_for_every_change_of_momentum(self, bodies: list[Body]) -> None:
        before = [(b.state.vx, b.state.vy) for b in bodies]
        change = [[0.0, 0.0] for _ in bodies]
        for contact in step(FREE, bodies, DT):
            assert contact.b_id is not None
            for sign, actor in ((1.0, contact.a_id), (-1.0, contact.b_id)):
                change[actor][0] += sign * contact.impulse[0]
                change[actor][1] += sign * contact.impulse[1]
        for body, (vx, vy), (jx, jy) in zip(bodies, before, change, strict=True):
            assert body.mass * (body.state.vx - vx) == pytest.approx(jx, abs=1e-3)
            assert body.mass * (body.state.vy - vy) == pytest.approx(jy, abs=1e-3)

    def test_left_and_right_crashes_mirror(self) -> None:
        def crash(side: float) -> tuple[float, ...]:
            a = car(1, yaw=side * 20.0, vx=10.0, vy=side * 3.0)
            b = car(2, x=4.0, y=side * 1.2, yaw=side * -70.0, vy=side * -4.0)
            step(FREE, [a, b], DT)
            return (a.state.vx, side * a.state.vy, side * a.state.yaw_rate, b.state.vx, side * b.state.vy)

        assert crash(1.0) == pytest.approx(crash(-1.0))


class TestSeparation:
    @settings(max_examples=80, deadline=None)
    @given(
        blueprints=st.tuples(st.sampled_from(sorted(VEHICLES)), st.sampled_from(sorted(VEHICLES))),
        offset=st.tuples(st.floats(-4.0, 4.0), st.floats(-4.0, 4.0)),
        yaws=st.tuples(st.floats(-180.0, 180.0), st.floats(-180.0, 180.0)),
        velocity=st.tuples(st.floats(-40.0, 40.0), st.floats(-40.0, 40.0)),
    )
    def test_two_bodies_are_apart_afterwards(
        self,
        blueprints: tuple[str, str],
        offset: tuple[float, float],
        yaws: tuple[float, float],
        velocity: tuple[float, float],
    ) -> None:
        a = car(1, blueprints[0], x=offset[0], y=offset[1], yaw=yaws[0], vx=velocity[0], vy=velocity[1])
        b = car(2, blueprints[1], yaw=yaws[1], vx=0.1)
        step(FREE, [a, b], DT)
        assert penetration(a.box(), b.box()) is None

    @settings(max_examples=60, deadline=None)
    @given(
        blueprint=st.sampled_from(sorted(VEHICLES)),
        start=st.floats(8.0, 15.0),
        speed=st.floats(1.0, 40.0),
        heading=st.floats(-75.0, 75.0),
        yaw=st.floats(-180.0, 180.0),
    )
    def test_nothing_tunnels_through_a_thin_wall(
        self, blueprint: str, start: float, speed: float, heading: float, yaw: float
    ) -> None:
        wall = OrientedBox(20.0, 0.0, 1.5, 0.0, 0.05, 200.0, 1.5)
        vx, vy = speed * math.cos(math.radians(heading)), speed * math.sin(math.radians(heading))
        body = car(1, blueprint, x=start, yaw=yaw, vx=vx, vy=vy)
        world = CollisionWorld([wall])
        for _ in range(80):
            coast(world, [body], DT)
            assert body.box().x < 20.0

    @settings(max_examples=40, deadline=None)
    @given(speeds=st.tuples(st.floats(5.0, 40.0), st.floats(5.0, 40.0)), phase=st.floats(0.0, 4.0))
    def test_two_fast_bicycles_meet_head_on(self, speeds: tuple[float, float], phase: float) -> None:
        a = car(1, "vehicle.bh.crossbike", x=-10.0 - phase, vx=speeds[0])
        b = car(2, "vehicle.bh.crossbike", x=10.0, yaw=180.0, vx=-speeds[1])
        contacts = []
        for _ in range(100):
            contacts += coast(FREE, [a, b], DT)
            assert a.state.x < b.state.x
        assert contacts

    @pytest.mark.parametrize("yaw", [0.0, 90.0])
    @pytest.mark.parametrize("phase", [0.25 * number for number in range(8)])
    def test_a_fast_bicycle_is_stopped_wherever_its_steps_fall(self, yaw: float, phase: float) -> None:
        body = car(1, "vehicle.bh.crossbike", x=phase, yaw=yaw, vx=40.0)
        assert coast(CollisionWorld([WALL]), [body], 1.0)
        assert body.state.x < 20.0

    @pytest.mark.parametrize("phase", [0.1 * number for number in range(6)])
    @pytest.mark.parametrize("overlap", [0.05, 0.3, 0.5])
    def test_a_corner_is_run_into_not_slid_along(self, overlap: float, phase: float) -> None:
        house = OrientedBox(20.0, -5.0 - MODEL3.extent[1] + overlap, 1.5, 0.0, 5.0, 5.0, 1.5)
        body = car(1, x=10.0 + phase, vx=12.0)
        contacts = coast(CollisionWorld([house]), [body], 0.5)
        assert contacts[0].normal == (-1.0, 0.0, 0.0)
        assert body.state.vx < 8.0  # it spins about the corner
        assert body.state.yaw_rate < 0.0

    @pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 1), (1, 1), (1, -1), (-1, 0), (0, -1), (-1, -1), (-1, 1)])
    def test_pairs_are_found_across_cells_in_every_direction(self, dx: int, dy: int) -> None:
        a = car(1, x=8.0 - 0.3 * dx, y=8.0 - 0.3 * dy, vx=dx, vy=dy)
        b = car(2, x=8.0 + 0.3 * dx, y=8.0 + 0.3 * dy)
        step(FREE, [a, b], DT)
        assert penetration(a.box(), b.box()) is None

    def test_a_fast_car_hits_a_walker_it_would_jump_over(self) -> None:
        walker = Body(2, WalkerState(x=3.0, z=0.93), WALKER_EXTENT, mass=WALKER_MASS)
        bicycle = car(1, "vehicle.bh.crossbike", x=0.0, vx=100.0)
        assert coast(FREE, [bicycle, walker], DT)

    def test_a_car_that_leans_on_a_wall_with_full_throttle_stays_put(self) -> None:
        world = CollisionWorld([WALL])
        body = car(1, x=17.3)
        positions = []
        for tick in range(200):
            assert isinstance(body.state, VehicleState)
            step_vehicle(body.state, Control(throttle=1.0), MODEL3, DT)
            contacts = step(world, [body], DT)
            if tick > 100:
                assert contacts
                positions.append(body.state.x)
                assert abs(body.state.vx) < 1e-6
        assert max(positions) - min(positions) < 0.01
        assert abs(body.state.yaw) < 1.0

    def test_a_queue_pushed_from_behind_settles(self) -> None:
        bodies = [car(number, x=5.0 * number) for number in range(5)]
        bodies[0].state.vx = 10.0
        for _ in range(200):
            for body in bodies:
                assert isinstance(body.state, VehicleState)
                step_vehicle(body.state, Control(brake=0.5), MODEL3, DT)
            step(FREE, bodies, DT)
        assert energy(bodies) == 0.0
        assert all(penetration(a.box(), b.box()) is None for a in bodies for b in bodies if a is not b)

    def test_no_contact_between_cars_that_pass_in_their_lanes(self) -> None:
        a, b = car(1, x=-20.0, y=-1.75, vx=20.0), car(2, x=20.0, y=1.75, yaw=180.0, vx=-20.0)
        assert coast(FREE, [a, b], 3.0) == []
        assert a.state.vx == 20.0

    def test_a_car_driving_off_a_contact_is_not_held(self) -> None:
        a, b = car(1, x=0.0, vx=-1.0), car(2, x=4.79)
        assert step(FREE, [a, b], DT) == []
        assert a.state.vx == -1.0

    def test_the_result_does_not_depend_on_where_in_the_world_it_happens(self) -> None:
        def crash(x: float, y: float) -> tuple[float, float, float]:
            a, b = car(1, x=x, y=y, vx=12.0), car(2, x=x + 4.5, y=y + 1.0, yaw=80.0)
            step(FREE, [a, b], DT)
            return a.state.vx, a.state.vy, b.state.yaw_rate

        assert crash(-396.3, 330.9) == pytest.approx(crash(0.0, 0.0), abs=1e-6)
        assert crash(8.0, 8.0) == pytest.approx(crash(0.0, 0.0), abs=1e-6)

    @settings(max_examples=30, deadline=None)
    @given(bodies=some_cars)
    def test_broad_phase_misses_no_pair(self, bodies: list[Body]) -> None:
        spread = [5.0 * index for index in range(len(bodies))]
        for body, shift in zip(bodies, spread, strict=True):
            body.state.x += shift
            body.state.vx = body.state.vy = 0.0
            body.state.yaw_rate = 1e-9  # moves, but goes nowhere
        overlapping = {
            (a.actor_id, b.actor_id)
            for a in bodies
            for b in bodies
            if a.actor_id < b.actor_id and penetration(a.box(), b.box())
        }
        moved = [(body.state.x, body.state.y) for body in bodies]
        step(FREE, bodies, DT)
        displaced = {b.actor_id for b, old in zip(bodies, moved, strict=True) if (b.state.x, b.state.y) != old}
        assert {actor for pair in overlapping for actor in pair} <= displaced
        if not overlapping:
            assert not displaced


class TestQueries:
    def test_a_spawn_place_is_taken_by_statics_and_by_bodies(self) -> None:
        world = CollisionWorld([WALL])
        parked = car(3, x=0.0)
        spot = OrientedBox(0.0, 0.0, 0.75, 0.0, 2.4, 1.0, 0.75)
        assert world.overlaps(spot, [parked])
        assert not world.overlaps(spot, [parked], ignore=3)
        assert not world.overlaps(dataclasses.replace(spot, y=3.0), [parked])
        assert world.overlaps(dataclasses.replace(spot, x=19.0))

    def test_a_spawn_above_a_car_is_free(self) -> None:
        assert not FREE.overlaps(OrientedBox(0.0, 0.0, 5.0, 0.0, 2.4, 1.0, 0.75), [car(3)])

    def test_a_ray_finds_the_nearest_of_both_kinds(self) -> None:
        world = CollisionWorld([WALL])
        ahead = car(3, x=12.0)
        start, forward = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)
        hit = world.raycast(start, forward, 50.0, [ahead])
        assert hit is not None
        assert (hit.actor_id, hit.static_index) == (3, None)
        assert hit.distance == pytest.approx(12.0 + MODEL3.box_centre[0] - MODEL3.extent[0])
        hit = world.raycast(start, forward, 50.0, [ahead], ignore=3)
        assert hit is not None
        assert (hit.actor_id, hit.static_index) == (None, 0)
        assert hit.distance == pytest.approx(19.85)
        assert world.raycast(start, forward, 50.0, [ahead], ignore=3, only_dynamic=True) is None
        assert world.raycast(start, forward, 5.0, [ahead]) is None

    def test_a_ray_goes_over_what_is_low(self) -> None:
        assert FREE.raycast((0.0, 0.0, 2.0), (1.0, 0.0, 0.0), 50.0, [car(3, x=12.0)]) is None

    @settings(deadline=None)
    @given(heading=st.floats(-180.0, 180.0), distance=st.floats(1.0, 80.0))
    def test_a_long_ray_crosses_cells_in_any_direction(self, heading: float, distance: float) -> None:
        dx, dy = math.cos(math.radians(heading)), math.sin(math.radians(heading))
        post = OrientedBox(distance * dx, distance * dy, 1.0, heading, 0.1, 0.1, 1.0)
        hit = CollisionWorld([post]).raycast((0.0, 0.0, 1.0), (dx, dy, 0.0), 100.0)
        assert hit is not None
        assert hit.distance == pytest.approx(distance - 0.1, abs=1e-6)


def test_the_same_crash_gives_the_same_bits() -> None:
    def run() -> list[float]:
        bodies = [car(n, x=4.0 * (n % 4), y=3.0 * (n // 4), yaw=37.0 * n, vx=3.0 - n, vy=0.5 * n) for n in range(12)]
        for _ in range(20):
            for body in bodies:
                assert isinstance(body.state, VehicleState)
                step_vehicle(body.state, Control(throttle=0.5, steer=0.1), MODEL3, DT)
            step(FREE, bodies, DT)
        return [value for b in bodies for value in (b.state.x, b.state.y, b.state.vx, b.state.vy, b.state.yaw_rate)]

    assert run() == run()
