"""`Client.show_recorder_collisions`, `Client.show_recorder_actors_blocked`: tables, as in CarlaRecorderQuery.cpp."""

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from minicarla.limits import MAX_RECORDED_ACTORS
from minicarla.recorder import packets
from minicarla.recorder.info_text import ending, heading
from minicarla.recorder.packets import ActorKind, Added, DamagedError, PacketId
from minicarla.recorder.reader import Recording

ANY, HERO = "a", "h"
_OTHER = "o"
_CATEGORIES = {ActorKind.VEHICLE: "v", ActorKind.WALKER: "w", ActorKind.TRAFFIC_LIGHT: "t"}
CATEGORIES = (ANY, HERO, _OTHER, *_CATEGORIES.values())

Text = Generator[None, None, str]


def collisions(recording: Recording, first: str, second: str) -> Text:
    """Which collisions have begun, and when. `first` and `second`: categories of the two actors.

    A pair that touches in one frame after the other is shown once.
    """
    parts = [heading(recording.info)]
    parts.append(f"{'Time':>8} {'Types':>6} {'Id':>6} {'Actor 1':<35} {'Id':>6} {'Actor 2':<35}\n")
    actors: dict[int, Added] = {}
    touching: set[tuple[int, int]] = set()
    number, elapsed, rows = 0, 0.0, 0
    try:
        for frame in recording.frames((PacketId.EVENT_ADD, PacketId.EVENT_DEL, PacketId.COLLISION)):
            number, elapsed, before, touching = frame.number, frame.elapsed, touching, set()
            for packet_id, body in frame.packets:
                if packet_id != PacketId.COLLISION:
                    _keep_actors(actors, packet_id, body)
                    continue
                for pair, letters in _matching(body, actors, first, second):
                    touching.add(pair)
                    if pair not in before:
                        names = [actors[actor].type_id if actor in actors else "" for actor in pair]
                        who = [f"{actor:>6} {name:<35}" for actor, name in zip(pair, names, strict=True)]
                        parts.append(f"{elapsed:8.0f}   {letters}  {' '.join(who)}\n")
                        rows += 1
            yield
    except DamagedError as error:
        recording.flaw = str(error)
    # The stream that CARLA writes to keeps the rows' precision.
    return "".join([*parts, ending(recording, number, f"{elapsed:.0f}" if rows else f"{elapsed:g}")])


def _matching(body: bytes, actors: dict[int, Added], first: str, second: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Pairs of those categories, and the letters of their types."""
    for _, one, other, one_hero, other_hero in packets.records(packets.COLLISION, body):
        types = [_category(actors.get(actor)) for actor in (one, other)]
        wanted = ((first, types[0], one_hero), (second, types[1], other_hero))
        if all(want in (ANY, kind) or (want == HERO and hero) for want, kind, hero in wanted):
            yield (one, other), " ".join(types)


def _category(actor: Added | None) -> str:
    return _OTHER if actor is None else _CATEGORIES.get(actor.kind, _OTHER)  # type: ignore[call-overload]


@dataclass(slots=True)
class _Stop:
    """Since when an actor has not moved far: where it was then (cm), `time` and `duration` (s)."""

    place: tuple[float, float, float] = (0.0, 0.0, 0.0)
    time: float = 0.0
    duration: float = 0.0


def actors_blocked(recording: Recording, min_time: float, min_distance: float) -> Text:
    """Which actors stood for `min_time` seconds, within `min_distance` cm, the longest first."""
    actors: dict[int, Added] = {}
    stops: dict[int, _Stop] = {}
    rows: list[tuple[float, str]] = []
    number, elapsed = 0, 0.0

    def note(actor_id: int, stop: _Stop) -> None:
        if stop.duration >= min_time:
            name = actors[actor_id].type_id if actor_id in actors else ""
            rows.append((stop.duration, f"{stop.time:8.0f} {actor_id:>6} {name:<35} {stop.duration:10.0f}\n"))

    try:
        for frame in recording.frames((PacketId.EVENT_ADD, PacketId.EVENT_DEL, PacketId.POSITION)):
            number, elapsed = frame.number, frame.elapsed
            for packet_id, body in frame.packets:
                if packet_id != PacketId.POSITION:
                    for gone in _keep_actors(actors, packet_id, body, forget=False):
                        note(gone, stops.pop(gone, _Stop()))
                    continue
                for actor_id, *row in packets.records(packets.POSITION, body):
                    stop = stops.setdefault(actor_id, _Stop())
                    if math.dist(stop.place, row[:3]) < min_distance:
                        stop.time = stop.time if stop.duration else elapsed
                        stop.duration += max(frame.duration, 0.0)
                    else:
                        note(actor_id, stop)
                        stop.place, stop.duration = (row[0], row[1], row[2]), 0.0
                if len(stops) > MAX_RECORDED_ACTORS:
                    raise DamagedError(f"it has more than {MAX_RECORDED_ACTORS} actors")
            yield
    except DamagedError as error:
        recording.flaw = str(error)
    for actor_id, stop in stops.items():
        note(actor_id, stop)
    rows.sort(key=lambda row: -row[0])
    title = f"{'Time':>8} {'Id':>6} {'Actor':<35} {'Duration':>10}\n"
    return "".join(
        [heading(recording.info), title, *(row for _, row in rows), ending(recording, number, f"{elapsed:g}")]
    )


def _keep_actors(actors: dict[int, Added], packet_id: int, body: bytes, forget: bool = True) -> list[int]:
    """Note who comes and goes; the ids of those that go."""
    if packet_id == PacketId.EVENT_ADD:
        for actor in packets.read_added(body):
            actors[actor.actor_id] = actor
        if len(actors) > MAX_RECORDED_ACTORS:
            raise DamagedError(f"it has more than {MAX_RECORDED_ACTORS} actors")
        return []
    gone = [actor_id for (actor_id,) in packets.records(packets.ID, body)]
    if forget:
        for actor_id in gone:
            actors.pop(actor_id, None)
    return gone
