"""What a car's sensors tell of: collisions, lane markings crossed; and in which order."""

from collections import defaultdict

import carla

from envloop.doctor.finding import Check, Finding, Verdict, judged
from envloop.doctor.subject import Subject, ahead

_SPEED_MPS = 8.0
_GAP_M = 12.0
_LONGEST_TICKS = 80
_MORE_TICKS = 5
_NO_MARKING = "NONE"


def _order(subject: Subject) -> Finding:
    """The car runs into another one: a collision has been told of before the same tick's picture."""
    heard: list[tuple[str, int]] = []
    place = subject.straight_places(40.0)[0]
    with (
        subject.car(place) as car,
        subject.sensor("sensor.other.collision", car, lambda event: heard.append(("collision", event.frame))),
        subject.sensor("sensor.other.gnss", car, lambda data: heard.append(("gnss", data.frame))),
        subject.camera(car) as pictures,
        subject.car(ahead(place, _GAP_M)),
    ):
        known_with: dict[int, int] = {}  # the picture of a frame: how much had been heard when it came
        more = _MORE_TICKS
        for _ in range(_LONGEST_TICKS):
            car.set_target_velocity(place.get_forward_vector() * _SPEED_MPS)
            frame = subject.simulator.tick()
            if pictures.of(frame) is None:
                return Finding(Verdict.FAIL, f"no picture of frame {frame}", "See the row 'camera frames'.")
            known_with[frame] = len(heard)
            more -= any(kind == "collision" for kind, _ in heard)
            if not more:
                break
        subject.ticks(2)
    positions = sum(("gnss", frame) not in heard[:known] for frame, known in known_with.items())
    hits = [(i, frame) for i, (kind, frame) in enumerate(heard) if kind == "collision"]
    collisions = sum(i >= known_with.get(frame, len(heard)) for i, frame in hits)
    return judged(
        fails=positions > 0 or collisions > 0,
        warns=not hits,
        measured=f"{len(known_with)} pictures: {positions} before their tick's position, {collisions} before their "
        "tick's collision",
        advice="A collision could be counted a tick late. The environment listens with one thread, and counts on "
        "sensors sending in the order in which they were made."
        if hits
        else "The cars did not touch: see the row 'collisions'.",
        values={"pictures": len(known_with), "positions_late": positions, "collisions_late": collisions},
    )


ORDER = Check("sensor order", "What else happened in a tick is known when its picture comes", _order)


def _collisions(subject: Subject) -> Finding:
    hits: list[tuple[int, int, float]] = []
    place = subject.straight_places(40.0)[0]
    with (
        subject.car(place) as car,
        subject.sensor(
            "sensor.other.collision",
            car,
            lambda event: hits.append((event.frame, event.other_actor.id, event.normal_impulse.length())),
        ),
        subject.car(ahead(place, _GAP_M)) as other,
    ):
        subject.ticks(10)
        early = len(hits)
        touched = None
        for _ in range(_LONGEST_TICKS):
            if not hits[early:]:
                car.set_target_velocity(place.get_forward_vector() * _SPEED_MPS)
            frame = subject.simulator.tick()
            gap_m = car.get_location().distance(other.get_location()) - 2.0 * car.bounding_box.extent.x
            touched = frame if touched is None and gap_m < 0.1 else touched
            if hits[early:]:
                break
        subject.ticks(2)
        told = hits[early:]
        right = sum(actor == other.id for _, actor, _ in told)
    impulse = max((impulse for *_, impulse in told), default=0.0)
    when = f"{told[0][0] - touched:+d} ticks from the touch" if told and touched is not None else "never"
    return judged(
        fails=not told or right == 0,
        warns=early > 0,
        measured=f"{len(told)} told of, {right} with the car that was hit; the first {when}, {impulse:.0f} N s; "
        f"{early} before",
        advice="Crashes would not end episodes: restart the server, and see that no other client drives it."
        if not told or right == 0
        else "A car that only fell on its wheels told of a collision: raise env.settle_ticks.",
        values={"events": len(told), "right": right, "impulse_ns": impulse, "early": early},
    )


COLLISIONS = Check("collisions", "A collision is told of, with what was hit, and none without one", _collisions)


def _lanes(subject: Subject) -> Finding:
    crossed: dict[int, list[str]] = defaultdict(list)
    place = subject.straight_places(40.0)[0]
    sideways = carla.Rotation(yaw=place.rotation.yaw - 15.0).get_forward_vector()  # left, over the road's middle
    with (
        subject.car(place) as car,
        subject.sensor(
            "sensor.other.lane_invasion",
            car,
            lambda event: crossed[event.frame].extend(str(mark.type) for mark in event.crossed_lane_markings),
        ),
    ):
        subject.ticks(10)
        early = len(crossed)
        for _ in range(_LONGEST_TICKS):
            car.set_target_velocity(sideways * _SPEED_MPS)
            subject.simulator.tick()
            if len(crossed) > early:
                break
        subject.ticks(2)
    kinds = sorted({kind for kinds in list(crossed.values())[early:] for kind in kinds} - {_NO_MARKING})
    return judged(
        fails=not kinds,
        warns=early > 0,
        measured=f"{', '.join(kinds) or 'nothing'} crossed to the left; {early} told of before",
        advice="The client reads markings from the map: the server's OpenDRIVE file has none there. Training does not "
        "listen to this sensor; metrics of other people's code do.",
        values={"events": len(crossed) - early, "kinds": " ".join(kinds), "early": early},
    )


LANES = Check("lane markings", "A marking that is crossed is told of", _lanes)
