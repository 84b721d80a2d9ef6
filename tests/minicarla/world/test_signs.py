"""What signs tell the vehicles that touch their boxes."""

from dataclasses import dataclass, field

import pytest

from minicarla.geometry.types import OrientedBox, Pose, SignSpec
from minicarla.physics.collision import Body
from minicarla.physics.rows import VehicleState
from minicarla.world.signs import SignMemory, SignSystem

ORIGIN = Pose(0.0, 0.0, 0.0)
CROSSING = (OrientedBox(20.0, 0.0, 0.0, 0.0, 1.8, 1.8, 1.8),)


def at(x: float, half: float = 1.4) -> tuple[OrientedBox, ...]:
    return (OrientedBox(x, 0.0, 0.0, 0.0, half, half, half),)


@dataclass
class Car:
    """4 m long."""

    body: Body
    signs: SignMemory = field(default_factory=SignMemory)

    @classmethod
    def at(cls, x: float, y: float = 0.0) -> "Car":
        return cls(Body(1, VehicleState(x, y), (2.0, 1.0, 0.7), (0.0, 0.7)))

    def move_to(self, x: float) -> None:
        self.body.state.x = x


def test_a_limit_holds_from_the_touch_of_the_body_until_the_next_sign():
    signs = SignSystem(
        [SignSpec("60", "traffic.speed_limit.60", ORIGIN, at(0.0), 60.0),
         SignSpec("30", "traffic.speed_limit.30", ORIGIN, at(50.0), 30.0)]
    )  # fmt: skip
    car = Car.at(-3.5)
    for x, limit in ((-3.5, 30.0), (-3.3, 60.0), (20.0, 60.0), (46.5, 60.0), (46.7, 30.0), (90.0, 30.0)):
        car.move_to(x)
        signs.tell([car], [car], 0.0)
        assert car.signs.limit_kmh == limit


def test_a_limit_is_passed_however_a_car_comes_in_but_not_beside_its_lane():
    signs = SignSystem([SignSpec("90", "traffic.speed_limit.90", ORIGIN, at(0.0), 90.0)])
    oncoming = Car.at(0.0, 4.0)
    signs.tell([oncoming], [oncoming], 0.0)
    assert oncoming.signs.limit_kmh == 30.0
    fast = Car.at(-4.0)
    fast.move_to(3.3)
    signs.tell([fast], [fast], 0.0)
    assert fast.signs.limit_kmh == 90.0


@pytest.mark.parametrize(("kind", "first_look_s", "again_s"), [("traffic.stop", 2.0, 1.0), ("traffic.yield", 0.0, 0.5)])
def test_a_car_waits_while_the_crossing_is_taken(kind: str, first_look_s: float, again_s: float):
    signs = SignSystem([SignSpec("s", kind, ORIGIN, at(0.0), crossing=CROSSING)])
    car, other, far = Car.at(0.0), Car.at(20.0), Car.at(40.0)
    dt = 0.05

    def waiting_after(seconds: float, start: float, cars: list[Car]) -> bool:
        for number in range(round(seconds / dt) + 1):
            signs.tell(cars, cars, start + number * dt)
        return car.signs.waits

    free = [car, far]
    assert waiting_after(first_look_s - dt, 0.0, free) is (first_look_s > 0.0)
    assert not waiting_after(0.0, first_look_s, free)
    taken = [car, far, other]
    assert waiting_after(again_s, first_look_s + dt, taken)
    assert waiting_after(5.0, 10.0, taken)
    assert not waiting_after(again_s, 20.0, free)


def test_who_leaves_waits_no_more_and_stops_anew_when_coming_back():
    signs = SignSystem([SignSpec("s", "traffic.stop", ORIGIN, at(0.0), crossing=CROSSING)])
    car = Car.at(0.0)
    signs.tell([car], [car], 0.0)
    assert car.signs.waits
    for away in (10.0, 100.0):  # near the sign, and where no sign is
        car.move_to(away)
        signs.tell([car], [car], 0.1)
        assert not car.signs.waits
        car.move_to(0.0)
        signs.tell([car], [car], 0.2)
        assert car.signs.waits


def test_those_who_wait_at_the_same_sign_do_not_hold_each_other():
    boxes = (*at(0.0), *at(4.0))
    signs = SignSystem([SignSpec("s", "traffic.yield", ORIGIN, boxes, crossing=boxes)])
    cars = [Car.at(-0.5), Car.at(4.5)]
    for now in (0.0, 0.5, 1.0):
        signs.tell(cars, cars, now)
    assert [car.signs.waits for car in cars] == [False, False]
