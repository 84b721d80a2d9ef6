"""Cycles, states set by hand, and which light holds a vehicle."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicarla.geometry.types import FIRST_LONE_JUNCTION, LightSpec, OrientedBox, Pose
from minicarla.world.traffic_lights import LightState, TrafficLightSystem

DT = 0.05
RED, YELLOW, GREEN = LightState.RED, LightState.YELLOW, LightState.GREEN


def light(sign_id: str, junction: int, group: int, *stops: OrientedBox) -> LightSpec:
    return LightSpec(sign_id, Pose(0.0, 0.0, 0.0), junction, group, stops)


# A junction of three approaches in turn, one where two lights share a group, and a light alone.
LIGHTS = (
    light("a", 1, 0),
    light("b", 1, 1),
    light("c", 1, 2),
    light("n", 2, 0),
    light("s", 2, 0),
    light("e", 2, 1),
    light("alone", 3, 0),
)


def run(system: TrafficLightSystem, seconds: float) -> list[str]:
    changed: list[str] = []
    for _ in range(round(seconds / DT)):
        changed += system.tick(DT)
    return changed


@pytest.fixture
def system() -> TrafficLightSystem:
    return TrafficLightSystem(LIGHTS)


class TestCycle:
    def test_groups_take_turns_green_10_yellow_3_all_red_2(self, system: TrafficLightSystem) -> None:
        seen = []
        for _ in range(45):
            seen.append(tuple(system.state(name) for name in "abc"))
            run(system, 1.0)
        for turn in range(3):
            mine = [states[turn] for states in seen]
            start = 15 * turn
            assert mine[start : start + 13] == [GREEN] * 10 + [YELLOW] * 3
            assert all(state is RED for second, state in enumerate(mine) if not start <= second < start + 13)
        assert tuple(system.state(name) for name in "abc") == seen[0]  # 45 s later

    def test_a_light_of_no_junction_is_red_as_long_as_green(self) -> None:
        system = TrafficLightSystem([light("far", FIRST_LONE_JUNCTION, 0)])
        run(system, 22.0)
        assert system.state("far") is RED
        run(system, 1.5)
        assert system.state("far") is GREEN

    def test_one_junction_starts_anew_and_no_other(self, system: TrafficLightSystem) -> None:
        run(system, 20.0)
        assert (system.state("b"), system.state("e")) == (GREEN, GREEN)
        revision = system.revision
        system.reset_group("c")
        assert (system.state("a"), system.state("b"), system.state("e")) == (GREEN, RED, GREEN)
        assert system.elapsed_time("a") == 0.0
        assert system.revision != revision

    def test_lights_of_a_group_go_together(self, system: TrafficLightSystem) -> None:
        for _ in range(60):
            run(system, 0.5)
            assert system.state("n") is system.state("s")

    def test_a_light_alone_still_turns_red(self, system: TrafficLightSystem) -> None:
        run(system, 14.0)
        assert system.state("alone") is RED
        run(system, 1.5)
        assert system.state("alone") is GREEN

    def test_tick_names_what_changed(self, system: TrafficLightSystem) -> None:
        assert sorted(run(system, 9.9)) == []
        assert sorted(run(system, 0.2)) == ["a", "alone", "n", "s"]

    @settings(max_examples=40, deadline=None)
    @given(
        times=st.lists(st.floats(0.0, 8.0), min_size=3, max_size=3),
        dt=st.sampled_from([0.01, 0.05, 0.1, 0.5]),
        seconds=st.floats(1.0, 60.0),
    )
    def test_never_two_groups_of_a_junction_at_once(self, times: list[float], dt: float, seconds: float) -> None:
        system = TrafficLightSystem(LIGHTS)
        for name, value in zip(("a", "b", "e"), times, strict=True):
            system.set_green_time(name, value)
            system.set_red_time(name, value)
        for _ in range(round(seconds / dt)):
            system.tick(dt)
            going = {name for name in "abcnse" if system.state(name) is not RED}
            assert len(going & {"a", "b", "c"}) <= 1
            assert not (going & {"n", "s"} and "e" in going)

    def test_long_runs_do_not_drift(self, system: TrafficLightSystem) -> None:
        run(system, 45.0 * 100)
        assert system.state("a") is GREEN
        assert system.elapsed_time("a") == pytest.approx(0.0, abs=1e-6)

    def test_steps_that_do_not_divide_a_phase_do_not_stretch_the_cycle(self, system: TrafficLightSystem) -> None:
        for _ in range(1500):  # 40 cycles of 45 s in steps of 1.2 s
            system.tick(1.2)
        assert system.state("a") is GREEN
        assert system.elapsed_time("a") < 1.2


class TestTimes:
    def test_a_time_set_during_its_phase_counts_from_the_phases_start(self, system: TrafficLightSystem) -> None:
        run(system, 4.0)
        system.set_green_time("a", 5.0)
        run(system, 1.5)
        assert system.state("a") is YELLOW

    def test_times_belong_to_the_group(self, system: TrafficLightSystem) -> None:
        system.set_yellow_time("n", 1.5)
        assert system.yellow_time("s") == 1.5
        assert system.yellow_time("e") == 3.0
        assert (system.green_time("n"), system.red_time("n")) == (10.0, 2.0)

    def test_a_red_time_is_the_pause_before_the_next_group(self, system: TrafficLightSystem) -> None:
        system.set_red_time("a", 6.0)
        run(system, 13.0 + 5.5)
        assert system.state("b") is RED
        run(system, 1.0)
        assert system.state("b") is GREEN

    @pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
    def test_a_time_that_is_none_is_refused(self, system: TrafficLightSystem, seconds: float) -> None:
        with pytest.raises(ValueError, match="number of seconds"):
            system.set_green_time("a", seconds)

    def test_elapsed_time_counts_from_the_last_change(self, system: TrafficLightSystem) -> None:
        run(system, 4.0)
        assert system.elapsed_time("a") == pytest.approx(4.0)
        assert system.elapsed_time("b") == pytest.approx(4.0)
        run(system, 7.0)
        assert system.elapsed_time("a") == pytest.approx(1.0)
        assert system.elapsed_time("b") == pytest.approx(11.0)


class TestByHand:
    def test_a_state_set_lasts_until_the_groups_next_change(self, system: TrafficLightSystem) -> None:
        system.set_state("b", GREEN)
        run(system, 14.0)
        assert system.state("b") is GREEN
        run(system, 15.0)  # its own turn has been and gone
        assert system.state("b") is RED

    def test_frozen_lights_stand_still(self, system: TrafficLightSystem) -> None:
        run(system, 2.0)
        system.freeze_all(True)
        system.set_state("b", YELLOW)
        assert run(system, 100.0) == []
        assert system.frozen
        assert (system.state("a"), system.state("b")) == (GREEN, YELLOW)
        assert system.elapsed_time("a") == pytest.approx(2.0)
        system.freeze_all(False)
        run(system, 7.9)
        assert system.state("a") is GREEN
        run(system, 0.2)
        assert system.state("a") is YELLOW

    def test_off_is_a_state_too(self, system: TrafficLightSystem) -> None:
        system.set_state("a", 3)
        assert system.state("a") is LightState.OFF
        with pytest.raises(ValueError, match="9"):
            system.set_state("a", 9)

    def test_reset_starts_anew(self, system: TrafficLightSystem) -> None:
        run(system, 21.0)
        system.reset_all()
        assert system.states() == TrafficLightSystem(LIGHTS).states()
        assert {system.elapsed_time(name) for name in system.sign_ids} == {0.0}
        run(system, 9.9)
        assert system.state("a") is GREEN

    def test_an_unknown_light_is_named(self, system: TrafficLightSystem) -> None:
        with pytest.raises(ValueError, match="no traffic light 'x'"):
            system.state("x")


class TestMembership:
    def test_a_group_is_the_whole_junction_and_the_pole_its_place_there(self, system: TrafficLightSystem) -> None:
        assert system.group("s") == ("n", "s", "e")
        assert [system.pole_index(name) for name in ("n", "s", "e", "a", "c", "alone")] == [0, 1, 2, 0, 2, 0]
        assert set(system.sign_ids) == {spec.sign_id for spec in LIGHTS}

    def test_two_lights_of_one_name_are_refused(self) -> None:
        with pytest.raises(ValueError, match="'a'"):
            TrafficLightSystem([light("a", 1, 0), light("a", 2, 0)])

    def test_a_town_without_lights_is_fine(self) -> None:
        system = TrafficLightSystem([])
        assert system.tick(DT) == ()
        assert system.light_for(0.0, 0.0, 0.0, 0.0) is None


class TestStopZones:
    EAST = OrientedBox(10.0, 2.0, 1.0, 0.0, 5.0, 1.75, 1.0)
    WEST = OrientedBox(10.0, -2.0, 1.0, 180.0, 5.0, 1.75, 1.0)
    NORTH = OrientedBox(40.0, 40.0, 1.0, -90.0, 12.0, 1.75, 1.0)
    SYSTEM = TrafficLightSystem([light("east", 1, 0, EAST), light("west", 1, 1, WEST), light("north", 2, 0, NORTH)])

    @pytest.mark.parametrize(
        ("x", "y", "yaw", "held_by"),
        [
            (10.0, 2.0, 0.0, "east"),
            (14.9, 3.5, 20.0, "east"),
            (15.1, 2.0, 0.0, None),  # past the line
            (10.0, 3.8, 0.0, None),  # beside the lane
            (10.0, 2.0, 180.0, None),  # the wrong way
            (10.0, 2.0, 90.0, None),  # crossing
            (10.0, 2.0, 359.0, "east"),
            (10.0, -2.0, -179.0, "west"),
            (40.0, 29.0, -90.0, "north"),
            (40.0, 51.0, 270.0, "north"),
        ],
    )
    def test_place_and_heading_decide(self, x: float, y: float, yaw: float, held_by: str | None) -> None:
        assert self.SYSTEM.light_for(x, y, 0.0, yaw) == held_by

    @pytest.mark.parametrize(("z", "held_by"), [(-1.5, "east"), (1.5, "east"), (5.0, None), (-5.0, None)])
    def test_a_car_on_a_bridge_is_not_held_by_the_light_below(self, z: float, held_by: str | None) -> None:
        assert self.SYSTEM.light_for(10.0, 2.0, z, 0.0) == held_by

    @settings(deadline=None)
    @given(x=st.floats(-20.0, 70.0), y=st.floats(-20.0, 70.0), yaw=st.floats(-180.0, 180.0))
    def test_the_hash_finds_what_a_full_search_finds(self, x: float, y: float, yaw: float) -> None:
        def inside(box: OrientedBox, along: float, across: float) -> bool:
            agrees = abs((yaw - box.yaw + 180.0) % 360.0 - 180.0) <= 60.0
            return agrees and abs(along) <= box.ex and abs(across) <= box.ey

        expected = None
        if inside(self.EAST, x - 10.0, y - 2.0):
            expected = "east"
        elif inside(self.WEST, x - 10.0, y + 2.0):
            expected = "west"
        elif inside(self.NORTH, y - 40.0, x - 40.0):
            expected = "north"
        assert self.SYSTEM.light_for(x, y, 0.0, yaw) == expected
