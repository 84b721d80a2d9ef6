"""Other people: cars under the Traffic Manager, walkers of the client's crowd."""

import contextlib
import math
from collections.abc import Iterator

from envloop.client.traffic import Traffic
from envloop.doctor.finding import Check, Finding, Verdict, judged
from envloop.doctor.subject import Subject

_SAME_M = 0.01
_MOVED_M = 1.0
_NOWHERE = (1e6, 1e6)  # keep clear of nothing
_SPEED_KMH = 30.0
_WALKED_M = 0.5

Place = tuple[float, float]


@contextlib.contextmanager
def _traffic(subject: Subject) -> Iterator[Traffic]:
    traffic = Traffic(subject.simulator)
    try:
        yield traffic
    finally:
        with contextlib.suppress(RuntimeError):
            traffic.clear()
            subject.simulator.tick()
        traffic.close()


def _by_seed(subject: Subject) -> Finding:
    effort = subject.effort
    count = min(effort.vehicles, len(subject.simulator.map.get_spawn_points()))
    with _traffic(subject) as traffic:
        first, second, other = (_driven(subject, traffic, count, seed) for seed in (1, 1, 2))
    apart_m = max((math.dist(a, b) for a, b in zip(first[1], second[1], strict=True)), default=math.inf)
    moved_m = max((math.dist(a, b) for a, b in zip(*first, strict=True)), default=0.0)
    same_seeds = first[1] == other[1]
    return judged(
        fails=len(first[0]) < count or moved_m < _MOVED_M or same_seeds,
        warns=apart_m > _SAME_M,
        measured=f"{len(first[0])} of {count} cars, {moved_m:.0f} m at most in {effort.traffic_ticks} ticks; with the "
        f"same seed {apart_m:.3f} m apart, with another one {'in the same' if same_seeds else 'in other'} places",
        advice="The Traffic Manager does not drive all cars: see that no other client uses this server."
        if moved_m < _MOVED_M or len(first[0]) < count
        else "Cars drive otherwise each time, so episodes of one seed differ: compare policies over more episodes.",
        values={"cars": len(first[0]), "moved_m": moved_m, "apart_m": apart_m, "other_seed_same": same_seeds},
    )


def _driven(subject: Subject, traffic: Traffic, count: int, seed: int) -> tuple[list[Place], list[Place]]:
    """Where cars were spawned, and where they are `traffic_ticks` later."""
    subject.world.reset_all_traffic_lights()
    traffic.spawn(count, seed, _NOWHERE, 0.0, _SPEED_KMH, least=0)
    subject.ticks(1)
    traffic.look_up()
    spawned = [npc.pose()[:2] for npc in traffic.vehicles]
    for _ in subject.counted(subject.effort.traffic_ticks):
        subject.simulator.tick()
    driven = [npc.pose()[:2] for npc in traffic.vehicles]
    traffic.clear()
    subject.simulator.tick()
    return spawned, driven


TRAFFIC = Check("traffic by seed", "The Traffic Manager drives the same cars the same way from the same seed", _by_seed)


def _walkers(subject: Subject) -> Finding:
    count = subject.effort.walkers
    if not count:
        return Finding(Verdict.SKIP, "not asked")
    with _traffic(subject) as traffic:
        traffic.spawn_walkers(count, 1, _NOWHERE, 0.0, least=0)
        subject.simulator.tick()
        before = _places(subject)
        for _ in subject.counted(subject.effort.traffic_ticks):
            subject.simulator.tick()
        after = _places(subject)
    walked_m = [math.dist(place, after[walker]) for walker, place in before.items() if walker in after]
    walking = sum(metres > _WALKED_M for metres in walked_m)
    seconds = subject.effort.traffic_ticks * subject.simulator.config.fixed_delta_s
    return judged(
        fails=walking == 0,
        warns=walking < len(before) / 2,
        measured=f"{len(before)} of {count}, {walking} have walked {_WALKED_M:g} m or more in {seconds:g} s",
        advice="The map's navigation mesh is missing or the crowd stands: no scenario with pedestrians on this server.",
        values={"walkers": len(before), "walking": walking, "farthest_m": max(walked_m, default=0.0)},
    )


def _places(subject: Subject) -> dict[int, Place]:
    walkers = subject.world.get_actors().filter("walker.pedestrian.*")
    return {walker.id: (walker.get_location().x, walker.get_location().y) for walker in walkers}


WALKERS = Check("walkers", "Pedestrians are there, and walk", _walkers)
