"""Shortest ways along the lanes of a network, with changes between lanes where a way needs them.

Dijkstra's algorithm over arrivals in lanes. Most lanes are entered at their beginning alone, but a change of lane
enters one anywhere, so that a lane may be reached both earlier and by a shorter way: both arrivals are kept then.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from envloop.client.planning.lane_network import CHANGE_MIN_M, LaneNetwork
from envloop.client.planning.lane_segments import LaneKey

CHANGE_COST_M = 50.0  # a change of lane is worth a detour of that length


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a lane is reached.

    Attributes:
      lane: which one.
      entry_m: from where on it can be driven, metres since its beginning; behind a change of lane, where that is done.
      offset_m: metres from the end of the start's lane to this lane's beginning, were all of it driven.
      changes: of lane, on the way.
      before: how the lane before was reached; None for the start's.
      left_m, taken_m: metres in the lane before where the way leaves it, and in this lane where the way takes it up.
      change_m: how much room there is for the change from the lane before, m; 0 where that lane leads into this one.
    """

    lane: LaneKey
    entry_m: float
    offset_m: float
    changes: int
    before: "Arrival | None" = None
    left_m: float = 0.0
    taken_m: float = 0.0
    change_m: float = 0.0

    def cost_m(self) -> float:
        """Metres to `entry_m`, and the price of the changes."""
        return self.offset_m + self.entry_m + CHANGE_COST_M * self.changes


def arrivals(network: LaneNetwork, start: LaneKey, begin_m: float) -> Iterator[Arrival]:
    """Every arrival that some shortest way has, nearest first; the first is the start itself."""
    first = Arrival(start, begin_m, -network.lanes[start].length_m, 0)
    kept: dict[LaneKey, list[Arrival]] = {}
    waiting = [(first.cost_m(), 0, first)]
    number = 1
    while waiting:
        _, _, arrival = heapq.heappop(waiting)
        others = kept.setdefault(arrival.lane, [])
        if any(_is_as_good(network, other, arrival) for other in others):
            continue
        others.append(arrival)
        yield arrival
        for following in _following(network, arrival):
            if not any(_is_as_good(network, other, following) for other in kept.get(following.lane, ())):
                heapq.heappush(waiting, (following.cost_m(), number, following))
                number += 1


def _following(network: LaneNetwork, arrival: Arrival) -> Iterator[Arrival]:
    lane = network.lanes[arrival.lane]
    reach_m = lane.reach_m(arrival.entry_m)
    if reach_m == lane.length_m:
        for key in network.successors[arrival.lane]:
            yield Arrival(key, 0.0, arrival.offset_m + lane.length_m, arrival.changes, arrival, reach_m, 0.0)
    for opening in network.openings[arrival.lane]:
        # As early as may be: whatever can be reached by a later change can be reached by this one.
        left_m = max(opening.begin_m, arrival.entry_m)
        change_m = min(opening.end_m, reach_m) - left_m
        if change_m < CHANGE_MIN_M:
            continue
        beside = network.lanes[opening.to]
        taken_m, done_m = (beside.at(lane.s_at(metres)) for metres in (left_m, left_m + CHANGE_MIN_M))
        if beside.reach_m(taken_m) < done_m:
            continue
        offset_m = arrival.offset_m + left_m - taken_m
        yield Arrival(opening.to, done_m, offset_m, arrival.changes + 1, arrival, left_m, taken_m, change_m)


def _is_as_good(network: LaneNetwork, kept: Arrival, other: Arrival) -> bool:
    earlier = kept.entry_m <= other.entry_m <= network.lanes[kept.lane].reach_m(kept.entry_m)
    return earlier and kept.cost_m() - kept.entry_m <= other.cost_m() - other.entry_m
