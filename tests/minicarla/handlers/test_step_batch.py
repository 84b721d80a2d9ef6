"""The compiled batch against the one of Python objects: the same rows, the same reply, or nothing done at all."""

from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicarla.geometry.types import Pose
from minicarla.handlers import batch, step_batch
from minicarla.maps import TownLibrary
from minicarla.protocol.rpc_types import Description
from minicarla.protocol.streams import Streams
from minicarla.world.state import SimulationState

CARS, WALKERS = 3, 3


class NoSensors:
    def makes(self, type_id: str) -> bool:
        return False


@pytest.fixture(scope="module")
def town():
    return TownLibrary().read("Grid01")


@pytest.fixture(scope="module")
def sims(town) -> list[Any]:
    """Two simulations of the same actors: ids of cars, then of walkers."""
    made = []
    for _ in range(2):
        state = SimulationState(town, Streams(), 0, NoSensors())
        points = town.spawn_points[: CARS + WALKERS]
        kinds = ["vehicle.tesla.model3"] * CARS + ["walker.pedestrian.0001"] * WALKERS
        ids = [
            state.spawn(Description(kind, {}, []), Pose(p.x, p.y, p.z + 1.0, yaw=p.yaw)).id
            for kind, p in zip(kinds, points, strict=True)
        ]
        clock, loop = SimpleNamespace(runs=False), SimpleNamespace(time=lambda: 0.0)
        made.append(SimpleNamespace(state=state, ids=ids, clock=clock, loop=loop, when_known=lambda value: value))
    return made


def request(commands: list[Any], do_tick: bool = False) -> bytes:
    message = [0, 70000, "apply_batch", [[False], commands, do_tick]]
    return msgpack.packb(message, use_single_float=True)


def rows(sim: Any) -> list[bytes]:
    actors = (sim.state.actors[actor_id] for actor_id in sim.ids)
    return [bytes(part) for actor in actors for part in (actor.state, actor.control, getattr(actor, "drive", b""))]


number = st.floats(-2.0, 2.0, width=32)
control = st.tuples(
    st.integers(0, CARS - 1), number, number, number, st.booleans(), st.booleans(), st.booleans(), st.integers(-128, 6)
)
place = st.floats(-500.0, 500.0, width=32)
walk = st.tuples(st.integers(CARS, CARS + WALKERS - 1), *[place] * 6, st.floats(0.0, 3.0, width=32))


def command(ids: list[int], drawn: tuple[Any, ...]) -> Any:
    who, *values = drawn
    if who < CARS:
        return [[2, [ids[who], values]]]
    return [[7, [ids[who], [values[:3], values[3:6]], values[6]]]]


@settings(max_examples=80, deadline=None)
@given(drawn=st.lists(control | walk, max_size=20))
def test_it_does_what_the_other_does(sims, drawn):
    quick, usual = sims
    client = SimpleNamespace(reply_pacing=None)
    commands = [command(quick.ids, each) for each in drawn]
    reply = step_batch.answer(quick, client, request(commands))
    assert reply is not None
    sent = msgpack.unpackb(request(commands))[3][1]
    responses = batch.apply_batch(usual, client, sent, False)
    assert reply == msgpack.packb([1, 70000, None, responses])
    assert rows(quick) == rows(usual)


GOOD = [2, [0, [0.5, 0.0, 0.0, False, False, False, 0]]]


@pytest.mark.parametrize(
    "commands",
    [
        [[[2, [10**6, GOOD[1][1]]]]],
        [[[2, [CARS, GOOD[1][1]]]]],
        [[[2, [0, [float("nan"), 0.0, 0.0, False, False, False, 0]]]]],
        [[[2, [0, [0.5, 0.0, 0.0, False, False, False]]]]],
        [[[2, [0, [0.5, 0.0, 0.0, False, False, 1, 0]]]]],
        [[[2, [0, [0.5, 0.0, 0.0, False, False, False, 1000]]]]],
        [[[7, [CARS, [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], -1.0]]]],
        [[[7, [CARS, [[2e6, 0.0, 0.0], [0.0, 0.0, 0.0]], 1.0]]]],
        [[[1, [0]]]],
        [3],
        {"a": 1},
    ],
)  # fmt: skip
def test_it_leaves_to_the_other_what_is_not_as_it_should_be(sims, commands):
    sim = sims[0]
    before = rows(sim)

    def with_ids(each: Any) -> Any:
        if isinstance(each, list) and each and isinstance(each[0], list) and len(each[0]) == 2:
            kind, (who, *rest) = each[0]
            return [[kind, [sim.ids[who] if who < len(sim.ids) else who, *rest]]]
        return each

    first = [[2, [sim.ids[0], [1.0, 1.0, 1.0, True, True, False, 0]]]]
    wrong = [first, *map(with_ids, commands)] if isinstance(commands, list) else commands
    assert step_batch.answer(sim, SimpleNamespace(reply_pacing=None), request(wrong)) is None
    assert rows(sim) == before


def test_every_cut_and_every_tick_is_left_to_the_other(sims):
    sim, client = sims[0], SimpleNamespace(reply_pacing=None)
    commands = [command(sim.ids, (0, 0.5, 0.0, 0.0, False, False, False, 0)), command(sim.ids, (CARS, *[1.0] * 7))]
    whole, before = request(commands), rows(sim)
    for end in range(1, len(whole)):
        assert step_batch.answer(sim, client, whole[:end]) is None
        assert step_batch.answer(sim, client, whole[:end] + b"\xc2") is None or end == len(whole) - 1
    assert step_batch.answer(sim, client, request(commands, do_tick=True)) is None
    assert rows(sim) != before
