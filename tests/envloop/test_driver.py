import math

import numpy as np
import pytest
from toy_car import TICK_S, ToyCar, drive, fast, follower

from envloop.baselines.route_follower import DriverConfig, RouteFollower, pure_pursuit
from envloop.task.observation import EgoState
from envloop.task.route import ROUTE_0, Route

STRAIGHT = Route([(0.0, 0.0), (300.0, 0.0)])


def act(ego: EgoState, target: float = 5.0, gap: float = math.inf) -> np.ndarray:
    return RouteFollower().act(ego, STRAIGHT, STRAIGHT.project(ego.x, ego.y), target, TICK_S, gap)


def test_it_drives_route_0():
    episode = drive(fast(), ROUTE_0)
    assert episode.end.reason == "route_done"
    assert episode.metrics["completion_time_s"] < 40.0
    # Pure pursuit cuts the bend's inside; it stays well within the 4 m lane.
    assert max(map(abs, episode.laterals)) < 0.8
    assert episode.metrics["mean_lateral_error_m"] < 0.1


@pytest.mark.parametrize("s", [60.0, 215.0, 222.0, 228.0])
def test_it_drives_on_from_anywhere(s):
    assert drive(fast(), ROUTE_0, start_s=s).end.reason == "route_done"


def test_it_comes_back_to_the_route():
    car, pilot, hint = ToyCar(10.0, 2.0, 0.2, 5.0), RouteFollower(), 10.0
    for _ in range(200):
        projection = STRAIGHT.project(car.x, car.y, hint)
        hint = projection.s
        car.step(*map(float, pilot.act(car.ego(), STRAIGHT, projection, 6.0, TICK_S)))
    assert abs(car.y) < 0.05
    assert car.speed == pytest.approx(6.0, abs=0.3)


def test_it_holds_a_speed_without_overshooting_much():
    fastest = []

    def note(view):
        fastest.append(view.ego.speed_mps)
        return 8.33

    drive(follower(note), STRAIGHT, limit_s=20.0)
    assert max(fastest) < 8.33 * 1.1
    assert fastest[-1] == pytest.approx(8.33, abs=0.1)


@pytest.mark.parametrize(("y", "yaw", "sign"), [(1.0, 0.0, -1), (-1.0, 0.0, 1), (0.0, 10.0, -1), (0.0, -10.0, 1)])
def test_it_steers_towards_the_route(y, yaw, sign):
    # Right of the route, or turned to the right: steer left, which is negative.
    assert np.sign(act(EgoState(x=50.0, y=y, yaw_deg=yaw, vx=5.0))[0]) == sign


def test_pure_pursuit_steers_the_circle_through_the_look_ahead_point():
    ego = EgoState(x=50.0, y=1.0)
    steer = pure_pursuit(ego, STRAIGHT, STRAIGHT.project(50.0, 1.0), DriverConfig())
    radius = (6.0**2 + 1.0) / (2.0 * 1.0)  # through the car, along its heading, to the point 6 m ahead on the route
    assert math.tan(math.radians(-steer * 70.0)) == pytest.approx(3.0 / radius, rel=1e-6)


def test_it_looks_further_ahead_when_faster():
    slow_ego, fast_ego = EgoState(x=50.0, y=1.0, vx=2.0), EgoState(x=50.0, y=1.0, vx=15.0)
    assert abs(act(fast_ego)[0]) < abs(act(slow_ego)[0])


def test_full_lock_is_the_most_it_asks_for():
    behind = EgoState(x=50.0, y=0.0, yaw_deg=100.0)
    assert (np.abs(act(behind, target=100.0)) <= 1.0).all()
    assert act(behind).dtype == np.float32


def test_it_stops_behind_an_obstacle():
    wall, car, pilot = 80.0, ToyCar(0.0, 0.0, 0.0, 8.0), RouteFollower()
    for _ in range(500):
        projection = STRAIGHT.project(car.x, car.y)
        car.step(*map(float, pilot.act(car.ego(), STRAIGHT, projection, 8.33, TICK_S, gap_m=wall - car.x)))
    assert car.speed < 0.05
    assert 2.0 < wall - car.x < 8.0


def test_reset_forgets_the_last_episode():
    ego = EgoState(x=0.0, y=0.0, vx=4.0)
    pilot = RouteFollower()
    first = pilot.act(ego, STRAIGHT, STRAIGHT.project(0.0, 0.0), 5.0, TICK_S)
    for _ in range(50):
        pilot.act(ego, STRAIGHT, STRAIGHT.project(0.0, 0.0), 5.0, TICK_S)
    pilot.reset()
    assert (pilot.act(ego, STRAIGHT, STRAIGHT.project(0.0, 0.0), 5.0, TICK_S) == first).all()


def test_the_integral_closes_a_small_standing_error():
    ego = EgoState(x=0.0, y=0.0, vx=4.9)
    pilot = RouteFollower()
    pushes = [float(pilot.act(ego, STRAIGHT, STRAIGHT.project(0.0, 0.0), 5.0, TICK_S)[1]) for _ in range(100)]
    assert pushes[-1] == pytest.approx(0.5 * 0.1 + 0.3 * 0.1 * 100 * TICK_S, abs=1e-3)
