"""Routes on roads as other people's OpenDRIVE has them: several sections, dead ends, lanes that open and close."""

import math

import carla
import numpy as np
import pytest
from drawn_maps import maps
from driving import real_town01
from hypothesis import given, settings
from opendrive_maps import bridge, roundabout
from opendrive_text import LaneSpec, Link, Place, Road, Section, arc, chain, junction, line, opendrive, road

from envloop.client.planning.errors import NoWayOfThatLength, PlannerError, RouteGapError
from envloop.client.planning.planner import Plan, Planner
from envloop.client.planning.way_points import Piece, way_points
from envloop.suites import load_suite
from minicarla.maps import load_town

ONE, BROKEN = (LaneSpec(),), LaneSpec(mark="broken")


def planner(*roads: Road, junctions=()) -> Planner:
    return Planner(carla.Map("Foreign", opendrive(roads, junctions)))


def gaps(plan: Plan) -> np.ndarray:
    return np.linalg.norm(np.diff(plan.points, axis=0), axis=1)


def turns_deg(plan: Plan) -> np.ndarray:
    heading = np.unwrap(np.arctan2(*np.diff(plan.points[:, :2], axis=0).T[::-1]))
    return np.degrees(np.diff(heading))


def one_way(length: float, *sections: Section, **rest) -> Road:
    return road(line(length), sections=sections or (Section(0.0, (), ONE),), **rest)


# --- The maps of record: nothing about them may change ---

# Of the planner before it knew other maps: points in all, their sum weighted by the cosine of their number, lanes
# driven, points in junctions; of 100 drawn ways, those of the town's suite and route 0.
BEFORE = {
    "Town01": (48440, (3341.85952085842, -48.02904734487444), 886, 6619),
    "Grid01": (46804, (2169.679012558755, 1775.2373897757136), 869, 6608),
    "CARLA's Town01": (48019, (1051.4954288342335, 2802.5194367088798), 884, 6496),
}


@pytest.mark.parametrize("town", BEFORE)
def test_the_towns_of_record_have_the_same_routes_as_ever(town):
    if town == "CARLA's Town01":
        if real_town01() is None:
            pytest.skip("AVTD3_XODR_DIR names no folder with Town01.xodr")
        carla_map = carla.Map("Town01", real_town01().read_text())
    else:
        carla_map = load_town(town).carla_map
    made = Planner(carla_map)
    plans = [made.draw(np.random.default_rng(seed), 100.0, 600.0) for seed in range(100)]
    suite = load_suite("grid-nav" if town == "Grid01" else "town01-nav")
    plans += [made.plan(route.start, route.goal) for route in suite.routes]
    plans += [] if town == "Grid01" else [made.plan((317.74, 129.49), (92.34, 86.73))]
    points = np.concatenate([plan.points for plan in plans])
    count, weighted, lanes, in_junctions = BEFORE[town]
    assert len(points) == count
    assert np.cos(np.arange(count)) @ points[:, :2] == pytest.approx(weighted, abs=1e-6)
    assert sum(len(plan.stretches) for plan in plans) == lanes
    assert sum(plan.in_junction.sum() for plan in plans) == in_junctions


# --- Sections ---


@pytest.mark.parametrize("starts", [(0.0, 100.0), (0.0, 0.5, 100.0, 100.01, 299.9), (0.0, 100.0, 100.0005, 200.0)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_road_of_several_sections_is_driven_once(starts, side):
    lanes = {"left": (), "right": (), side: ONE}
    sections = [Section(start, **lanes) for start in starts]
    (x0, x1), y = ((20.0, 280.0), 1.75) if side == "right" else ((280.0, 20.0), -1.75)
    plan = planner(one_way(300.5, *sections)).plan((x0, y), (x1, y))
    assert plan.length_m == pytest.approx(260.0, abs=0.01)
    assert gaps(plan).max() < 1.1
    assert np.abs(plan.points[:, 1] - y).max() < 1e-3


def test_a_lane_keeps_its_way_where_its_id_changes():
    """A lane opens beside it, towards the middle: -1 goes on as -2."""
    first = Section(0.0, (), (LaneSpec(links=(None, -2)),))
    second = Section(100.0, (), (LaneSpec(links=(None, None)), LaneSpec(links=(-1, None))))
    offset = ((0.0, 0.0, 0.0, 0.0, 0.0), (100.0, 3.5, 0.0, 0.0, 0.0))
    plan = planner(one_way(200.0, first, second, offset=offset)).plan((20.0, 1.75), (180.0, 1.75))
    assert plan.length_m == pytest.approx(160.0, abs=0.01)
    assert len(plan.stretches) == 1
    assert np.abs(plan.points[:, 1] - 1.75).max() < 1e-3


def test_a_lane_that_ends_in_the_middle_of_a_road_ends_there():
    """The client's next_until_lane_end ends the process on this map."""
    left = LaneSpec(links=(None, 1))
    ends = Section(100.0, (LaneSpec(links=(1, None), mark="broken"), LaneSpec(links=(None, None), mark="broken")), ())
    made = planner(one_way(299.99, Section(0.0, (left,), ()), ends))
    assert made.plan((280.0, -5.25), (110.0, -5.25)).length_m == pytest.approx(170.0, abs=0.01)
    plan = made.plan((280.0, -5.25), (20.0, -1.75))
    assert plan.in_change.any()
    assert gaps(plan).max() < 1.2
    assert plan.points[-1, :2] == pytest.approx((20.0, -1.75), abs=0.01)


# --- Dead ends ---


@pytest.mark.parametrize(("side", "y"), [("right", 1.75), ("left", -1.75)])
@pytest.mark.parametrize("left_hand", [False, True])
def test_a_dead_end_is_no_circle_and_is_drawn(side, y, left_hand):
    lanes = {"left": (), "right": (), side: ONE}
    made = planner(one_way(300.0, Section(0.0, **lanes), left_hand=left_hand))
    eastwards = (side == "right") != left_hand
    west, east = (50.0, y), (250.0, y)
    start, goal = (west, east) if eastwards else (east, west)
    assert made.plan(start, goal).length_m == pytest.approx(200.0, abs=0.01)
    with pytest.raises(PlannerError, match=r"No way leads from start .* choose a goal ahead of the start"):
        made.plan(goal, start)
    for seed in range(30):
        drawn = made.draw(np.random.default_rng(seed), 100.0, 600.0)
        assert 100.0 <= drawn.length_m <= 300.0
        assert (drawn.points[-1, 0] > drawn.points[0, 0]) == eastwards


def test_ways_that_chance_hardly_meets_are_drawn():
    """1 draw in 30,000 begins in the first metre and is not too long."""
    made = planner(one_way(300.0))
    assert made.draw(np.random.default_rng(0), 299.0, 100_000.0).length_m == pytest.approx(300.0, abs=1.0)


def test_a_map_without_ways_that_long_says_how_long_they_are():
    with pytest.raises(NoWayOfThatLength, match="no way of 400 to 600 m; its longest is 300 m") as caught:
        planner(one_way(300.0)).draw(np.random.default_rng(0), 400.0, 600.0)
    assert caught.value.longest_m == pytest.approx(300.0, abs=0.1)


def test_a_ring_of_one_road_is_driven_round():
    ring = road(arc(314.0, 2.0 * math.pi / 314.0), sections=(Section(0.0, (), ONE),))
    closed = Road(
        **{**ring.__dict__, "predecessor": Link("road", 1, "end"), "successor": Link("road", 1, "start")},
    )
    closed = Road(**{**closed.__dict__, "before": {-1: -1}, "after": {-1: -1}})
    made = planner(closed)
    place = made.network.lanes[1, 0, -1]
    start, goal = (place.points[i, :2] for i in (200, 100))
    plan = made.plan(start, goal)
    assert plan.length_m == pytest.approx(place.length_m - 100.0 * place.length_m / 314.0, abs=1.0)
    assert gaps(plan).max() < 1.2


# --- Changes of lane ---


@pytest.mark.parametrize("left_hand", [False, True])
def test_a_lane_change_is_smooth_and_has_no_markings(left_hand):
    lanes = {"left": (), "right": (), "left" if left_hand else "right": (BROKEN, BROKEN)}
    side = -1.0 if left_hand else 1.0
    made = planner(one_way(300.0, Section(0.0, **lanes), left_hand=left_hand))
    plan = made.plan((20.0, side * 1.75), (280.0, side * 5.25))
    assert plan.points[-1, :2] == pytest.approx((280.0, side * 5.25), abs=0.01)
    assert gaps(plan).max() < 1.1
    assert np.abs(turns_deg(plan)).max() < 2.0
    changing = plan.points[plan.in_change]
    assert 25.0 < changing[-1, 0] - changing[0, 0] < 32.0
    assert (side * np.diff(plan.points[:, 1]) >= -1e-9).all()


def test_no_lane_is_left_across_a_solid_line():
    made = planner(one_way(300.0, Section(0.0, (), (LaneSpec(), LaneSpec()))))
    with pytest.raises(PlannerError, match="even with the changes of lane that its markings allow"):
        made.plan((20.0, 1.75), (280.0, 5.25))


def test_a_lane_is_not_changed_for_its_own_sake():
    """A goal in the same lane is reached in it, though the other one is as good."""
    plan = planner(one_way(300.0, Section(0.0, (), (BROKEN, BROKEN)))).plan((20.0, 1.75), (280.0, 1.75))
    assert not plan.in_change.any()
    assert plan.length_m == pytest.approx(260.0, abs=0.01)


def test_two_lanes_are_crossed_one_after_the_other():
    made = planner(one_way(300.0, Section(0.0, (), (BROKEN, BROKEN, BROKEN))))
    plan = made.plan((20.0, 1.75), (280.0, 8.75))
    assert len(plan.stretches) == 3
    assert gaps(plan).max() < 1.2
    with pytest.raises(PlannerError, match="No way"):
        made.plan((20.0, 1.75), (45.0, 8.75))  # two changes take 30 m


def test_there_is_no_change_into_a_lane_narrower_than_a_car():
    """The second lane opens from nothing: 3.5 m wide after 100 m."""
    opening = LaneSpec(width=(0.0, 0.035, 0.0, 0.0), mark="broken")
    made = planner(one_way(100.0, Section(0.0, (), (BROKEN, opening))))
    plan = made.plan((1.0, 1.75), (95.0, 5.2))
    assert plan.points[plan.in_change][0, 0] > 56.0
    starts = [made.draw(np.random.default_rng(seed), 20.0, 60.0).points[0] for seed in range(60)]
    assert all(x > 56.0 for x, y, _ in starts if y > 3.6)


def test_nobody_drives_through_a_lane_that_closes_for_a_while():
    """Shut from 100 to 200 m: the way leads round by the other lane, or nowhere."""
    shut = [LaneSpec(width=0.0 if 100.0 <= s < 200.0 else 3.5, mark="broken") for s in (0.0, 100.0, 200.0)]
    sections = [Section(s, (), (BROKEN, lane)) for s, lane in zip((0.0, 100.0, 200.0), shut, strict=True)]
    plan = planner(one_way(300.0, *sections)).plan((10.0, 5.25), (290.0, 5.25))
    assert len(plan.stretches) == 3
    inside = plan.points[(plan.points[:, 0] > 102.0) & (plan.points[:, 0] < 198.0)]
    assert inside[:, 1] == pytest.approx(1.75, abs=0.01)
    alone = [Section(section.s, (), (section.right[1],)) for section in sections]
    with pytest.raises(PlannerError, match="No way"):
        planner(one_way(300.0, *alone)).plan((10.0, 1.75), (290.0, 1.75))


# --- Junctions, levels, broken links ---


def cross(**rest) -> tuple[list[Road], list]:
    arms = []
    for number in range(4):
        start = Place(0.0, 0.0, 0.5 * math.pi * number).moved(95.0).back()
        arms.append((road(line(80.0), id=number + 1, start=start, **rest), "end"))
    roads, crossing = junction(10, arms, 100)
    return roads, [crossing]


def test_a_start_in_a_junction_is_in_whichever_lane_leads_to_the_goal():
    roads, junctions = cross()
    made = planner(*roads, junctions=junctions)
    start = (made.network.lanes[1, 0, -1].points[-1, :2]) + (-1.0, 0.0)  # road 1 leads west into the junction
    for arm in (2, 3, 4):
        goal = made.network.lanes[arm, 0, 1].points[60, :2]
        assert made.plan(start, goal).length_m < 100.0


def test_a_roundabout_is_driven_one_way_round_from_every_arm_to_every_arm():
    carla_map = carla.Map("Roundabout", roundabout())
    made = Planner(carla_map)
    inwards, outwards = (
        {arm: made.network.lanes[arm, 0, lane].points[30, :2] for arm in (11, 12, 13, 14)} for lane in (1, -1)
    )
    for arm, start in inwards.items():
        lengths = []
        for further in range(1, 5):  # its own arm is the last one
            plan = made.plan(start, outwards[11 + (arm - 11 + further) % 4])
            assert gaps(plan).max() < 1.3
            assert np.abs(turns_deg(plan)).max() < 20.0
            follows_the_lanes(plan, carla_map)
            lengths.append(plan.length_m)
        assert np.diff(lengths) == pytest.approx(np.full(3, 0.5 * math.pi * 21.75), rel=0.05)


def test_of_two_levels_the_one_that_is_asked_for_is_driven():
    made = Planner(carla.Map("Bridge", bridge(6.0)))
    below, above = made.network.lanes[1, 0, -1], made.network.lanes[2, 0, -1]
    over = int(np.abs(above.points[:, 1]).argmin())
    assert above.points[over, 2] == pytest.approx(6.0, abs=0.01)
    x, y = above.points[over, 0], below.points[0, 1]
    with pytest.raises(
        PlannerError, match=r"several levels of Bridge, between z = 0\.0 and 6\.0 m; say which as X,Y,Z"
    ):
        made.plan((x, y), above.points[-5, :2])
    up = made.plan((x, y, 6.0), above.points[-5, :2])
    assert up.stretches[0].lane == above.key
    assert up.points[0, 2] == pytest.approx(6.0, abs=0.05)
    assert made.plan((x, y, 0.0), below.points[-5, :2]).stretches[0].lane == below.key


def test_a_link_that_leads_elsewhere_is_not_driven():
    """Road 2 begins 30 m aside of where road 1, which names it as its successor, ends."""
    joined = chain([one_way(100.0), one_way(100.0, id=2)])
    torn = [joined[0], Road(**{**joined[1].__dict__, "start": Place(100.0, 30.0)})]
    with pytest.raises(PlannerError, match="from lane -1 of road 1, section 0 to lane -1 of road 2, section 0 c"):
        planner(*torn).plan((20.0, 1.75), (180.0, -28.25))
    assert planner(*joined).plan((20.0, 1.75), (180.0, 1.75)).length_m == pytest.approx(160.0, abs=0.01)


def test_a_lane_that_jumps_is_not_driven_across_the_jump():
    """The second piece of the road's line begins 5 m beyond the end of the first."""
    text = opendrive([road(line(100.0), line(100.0), sections=(Section(0.0, (), ONE),))])
    made = Planner(carla.Map("Torn", text.replace('s="100.0" x="100.0"', 's="100.0" x="105.0"')))
    lane = made.network.lanes[1, 0, -1]
    assert lane.walls_m == pytest.approx([100.0], abs=1.1)
    assert made.plan((20.0, 1.75), (90.0, 1.75)).length_m == pytest.approx(70.0, abs=0.01)
    with pytest.raises(PlannerError, match="No way"):
        made.plan((20.0, 1.75), (180.0, 1.75))
    with pytest.raises(RouteGapError, match=r"to \(205.00, 1.75\) jumps by .* m at \(.*\), from lane -1 of road 1"):
        way_points([Piece(lane, 0.0, lane.length_m)])


def test_an_exit_is_reached_from_the_lane_beside():
    """Only the inner one of two lanes leads on, straight ahead and off the road."""
    one = (Section(0.0, (), ONE),)
    arms = [
        (road(line(200.0), sections=(Section(0.0, (), (BROKEN, BROKEN)),)), "end"),
        (road(line(200.0), id=2, start=Place(240.0, 0.0), sections=one), "start"),
        (road(line(200.0), id=3, start=Place(230.0, -20.0, -0.5), sections=one), "start"),
    ]
    roads, crossing = junction(10, arms, 100)
    made = planner(*roads, junctions=[crossing])
    for number in (2, 3):
        goal = made.network.lanes[number, 0, -1].points[100, :2]
        assert not made.plan((20.0, 1.75), goal).in_change.any()
        plan = made.plan((20.0, 5.25), goal)
        assert [stretch.lane[0] for stretch in plan.stretches][::3] == [1, number]
        assert plan.in_change.any()
        assert not (plan.in_change & plan.in_junction).any()
        with pytest.raises(PlannerError, match="No way"):
            made.plan((190.0, 5.25), goal)  # 10 m are too few for a change


def test_a_step_between_roads_is_spread():
    joined = chain([one_way(100.0), one_way(100.0, id=2)])
    aside = [joined[0], Road(**{**joined[1].__dict__, "start": Place(100.0, 1.5)})]
    plan = planner(*aside).plan((20.0, 1.75), (180.0, 0.25))
    assert gaps(plan).max() < 1.1
    assert np.abs(turns_deg(plan)).max() < 3.0
    assert plan.points[-1, 1] == pytest.approx(0.25, abs=0.01)


# --- Whatever hypothesis draws ---


@settings(max_examples=60, deadline=None)
@given(drawn=maps())
def test_every_drawn_way_is_connected_and_follows_the_allowed_direction(drawn):
    carla_map = carla.Map("Drawn", drawn.text)
    made = Planner(carla_map)
    for seed in range(4):
        plan = made.draw(np.random.default_rng(seed), 20.0, 150.0)
        assert gaps(plan).max() <= 2.0
        assert np.abs(turns_deg(plan)).max() < 60.0
        follows_the_lanes(plan, carla_map)


def follows_the_lanes(plan: Plan, carla_map: carla.Map) -> None:
    steps = np.diff(plan.points[:, :2], axis=0)
    for (x, y, z), step in list(zip(plan.points.tolist(), steps, strict=False))[::5]:
        waypoint = carla_map.get_waypoint(carla.Location(x, y, z))
        if waypoint.is_junction:  # lanes of all directions lie over each other
            continue
        forward = waypoint.transform.get_forward_vector()
        assert step @ (forward.x, forward.y) > 0.3 * np.hypot(*step)
        place = waypoint.transform.location
        assert math.dist((x, y, z), (place.x, place.y, place.z)) < 2.0
