"""The driving lanes of a map, how they follow each other, and where one may change between them.

A `Lane` runs along one road, through all of its lane sections; the lanes of `carla.Map` are its segments.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import ParseError

import carla
import numpy as np
from numpy.typing import NDArray

from envloop.client.planning.errors import PlannerError
from envloop.client.planning.lane_segments import (
    GAP_MAX_M,
    LaneKey,
    Segment,
    Segments,
    beside,
    map_s_of,
    read_segments,
)
from envloop.client.planning.road_layout import road_layouts
from envloop.client.planning.steps import FloatArray, gaps_m, spread

CHANGE_MIN_M = 15.0  # what a change to the next lane takes at least: at 30 km/h as hard as a bend of 13 m radius
WIDTH_MIN_M = 2.0  # a Model 3 is 1.85 m wide, 2.16 m with its mirrors


@dataclass(frozen=True, slots=True)
class Opening:
    """Where one may change to the lane `to` beside: metres since the beginning of the lane that is left."""

    to: LaneKey
    begin_m: float
    end_m: float


@dataclass(frozen=True)
class Lane:
    """A lane along one road, in driving direction.

    Attributes:
      key: of its first segment.
      points: [N, 3] of its centre, m.
      driven_m: [N] metres from its beginning to each point.
      map_s: [N] the road's own s there, negated where the lane runs against it, so that it increases.
      width_m: [N].
      along: whether it is driven in the direction of the road's s.
      is_junction: whether its road belongs to a junction.
      walls_m: metres to where nobody can drive on: the lane closes to nothing and opens again, or its points jump.
      wide_m: from where to where it is as wide as a car; nothing where its end is not behind its beginning.
    """

    key: LaneKey
    points: FloatArray
    driven_m: FloatArray
    map_s: FloatArray
    width_m: FloatArray
    along: bool
    is_junction: bool
    walls_m: tuple[float, ...]
    wide_m: tuple[float, float]

    @property
    def length_m(self) -> float:
        return float(self.driven_m[-1])

    def at(self, map_s: float) -> float:
        """Metres driven to the place of that `map_s`."""
        return float(np.interp(map_s, self.map_s, self.driven_m))

    def at_waypoint(self, waypoint: carla.Waypoint) -> float:
        """Metres driven to a waypoint of this lane."""
        return self.at(map_s_of(waypoint, self.along))

    def s_at(self, metres: float) -> float:
        """The `map_s` of a place."""
        return float(np.interp(metres, self.driven_m, self.map_s))

    def reach_m(self, from_m: float) -> float:
        """How far one can drive on from there: to its end, or to the next wall."""
        return min((wall for wall in self.walls_m if wall >= from_m), default=self.length_m)


@dataclass(frozen=True)
class LaneNetwork:
    """All driving lanes of a map.

    Attributes:
      lanes: by key, in the order of the client's topology.
      successors: of each lane, those that a link leads to from its end.
      openings: of each lane, in order, where its markings let one change to a lane beside it.
      lane_of: the lane that each segment is part of.
      torn: the map's links that no car can follow.
    """

    lanes: dict[LaneKey, Lane]
    successors: dict[LaneKey, list[LaneKey]]
    openings: dict[LaneKey, list[Opening]]
    lane_of: dict[LaneKey, LaneKey]
    torn: tuple[tuple[LaneKey, LaneKey], ...]


def lane_network(carla_map: carla.Map) -> LaneNetwork:
    """Walks along all driving lanes of a map.

    Raises:
      PlannerError: it has no driving lane, or the client fails on it.
    """
    try:
        segments = read_segments(carla_map, road_layouts(carla_map.to_opendrive()))
    except (RuntimeError, ParseError) as error:
        raise PlannerError(f"The lanes of {carla_map.name} cannot be read: {error}; mend the map.") from error
    if not segments.by_key:
        raise PlannerError(f"The map {carla_map.name} has no driving lane; load another one.")
    chains = _chains(segments)
    lanes = {chain[0]: _lane([segments.by_key[key] for key in chain]) for chain in chains}
    lane_of = {key: chain[0] for chain in chains for key in chain}
    successors = {chain[0]: [lane_of[key] for key in segments.links[chain[-1]]] for chain in chains}
    openings = {chain[0]: _openings(chain, segments.by_key, lanes, lane_of) for chain in chains}
    return LaneNetwork(lanes, successors, openings, lane_of, segments.torn)


def _chains(found: Segments) -> list[list[LaneKey]]:
    """The segments of each lane, in the order of their first segments."""
    segments, links = found.by_key, found.links
    into: dict[LaneKey, list[LaneKey]] = {key: [] for key in segments}
    for key, afters in links.items():
        for after in afters:
            into[after].append(key)

    def goes_on(key: LaneKey) -> LaneKey | None:
        """The next segment on the same road, where there is no choice on either side."""
        if len(links[key]) != 1:
            return None
        after = links[key][0]
        on_the_road = after[0] == key[0] and segments[after].along == segments[key].along
        ahead = segments[after].map_s[0] > segments[key].map_s[0]
        return after if on_the_road and ahead and into[after] == [key] else None

    continued = {goes_on(key) for key in segments}
    chains = []
    for key in segments:
        if key in continued:
            continue
        chain = [key]
        while (following := goes_on(chain[-1])) is not None:
            chain.append(following)
        chains.append(chain)
    return chains


def _lane(segments: Sequence[Segment]) -> Lane:
    points, s, width = (
        np.concatenate([getattr(each, name) for each in segments]) for name in ("points", "map_s", "width_m")
    )
    joints = np.cumsum([len(each.points) for each in segments])[:-1]
    steps = [points[joint - 1] - points[joint] for joint in joints]
    for joint, step in zip(joints, steps, strict=True):
        points[joint:] += spread(points[joint:], step)
    # A section begins where the last one has ended.
    points, s, width = (np.delete(array, joints, axis=0) for array in (points, s, width))
    driven = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points[:, :2], axis=0).T))])
    wide = np.flatnonzero(width >= WIDTH_MIN_M)
    return Lane(
        key=segments[0].key,
        points=points,
        driven_m=driven,
        map_s=s,
        width_m=width,
        along=segments[0].along,
        is_junction=segments[0].is_junction,
        walls_m=tuple(driven[sorted({*_jumps(gaps_m(points)), *_closings(wide)})]),
        wide_m=(float(driven[wide[0]]), float(driven[wide[-1]])) if wide.size else (0.0, 0.0),
    )


def _jumps(steps: FloatArray) -> Iterable[int]:
    """The last point before each jump."""
    return (int(i) for i in np.flatnonzero(steps > GAP_MAX_M))


def _closings(wide: NDArray[np.int64]) -> Iterable[int]:
    """The last point of each wide piece but the last; a lane may begin and end as narrow as it likes."""
    return (int(i) for i in wide[:-1][np.diff(wide) > 1])


def _openings(
    chain: list[LaneKey],
    segments: dict[LaneKey, Segment],
    lanes: dict[LaneKey, Lane],
    lane_of: dict[LaneKey, LaneKey],
) -> list[Opening]:
    lane = lanes[chain[0]]
    found: list[Opening] = []
    for column in range(2):
        to: list[LaneKey | None] = []
        s: list[float] = []
        for key in chain:
            segment = segments[key]
            neighbour = beside(key, along=segment.along)[column]
            to += [lane_of.get(neighbour) if allowed else None for allowed in segment.may_change[:, column]]
            s += segment.map_s.tolist()
        found += _runs(lane, to, s, lanes)
    return sorted(found, key=lambda opening: opening.begin_m)


def _runs(lane: Lane, to: list[LaneKey | None], s: list[float], lanes: dict[LaneKey, Lane]) -> Iterable[Opening]:
    """The stretches, long enough, along which `to` is the same lane and both are as wide as a car."""
    begin = 0
    for i in range(1, len(to) + 1):
        if i < len(to) and to[i] == to[begin]:
            continue
        other = to[begin]
        if other is not None:
            places = np.array(s[begin:i])
            both = np.minimum(
                np.interp(places, lane.map_s, lane.width_m), np.interp(places, lanes[other].map_s, lanes[other].width_m)
            )
            wide = np.flatnonzero(both >= WIDTH_MIN_M)
            for run in np.split(wide, np.flatnonzero(np.diff(wide) > 1) + 1):
                if run.size:
                    ends = lane.at(places[run[0]]), lane.at(places[run[-1]])
                    if ends[1] - ends[0] >= CHANGE_MIN_M:
                        yield Opening(other, *ends)
        begin = i
