"""What is stored in parts comes back whole, whatever was added, overwritten and removed in between."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_replay import ACTION, SPEC, STACK, Recorder, identities
from test_replay_rings import recorders

from avtd3_jax.checkpoints.array_files import DamagedError
from avtd3_jax.checkpoints.replay_store import ReplayStore, describe, segments_of
from avtd3_jax.replay.replay import FrameReplay

SLOTS = 4
MOVES = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(["begin", "step", "step", "step", "end", "torn", "take", "write"])),
    max_size=150,
)


def contents(replay):
    return [ring.read_slots(*ring.span) for ring in replay.rings], replay.get_state()


def assert_same(mine, other):
    for ring, saved in zip(mine[0], other[0], strict=True):
        for name, column in ring.items():
            np.testing.assert_array_equal(column, saved[name], err_msg=name)
    assert mine[1] == other[1]


def plain(snapshot):
    """Through JSON, as in a checkpoint."""
    return json.loads(json.dumps(describe(snapshot)))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(capacity=st.integers(2 * (STACK + 2), 60), moves=MOVES)
def test_every_snapshot_comes_back_whole_from_the_segments_that_are_kept(tmp_path_factory, capacity, moves):
    """Slots carry their ids. Two rings wrap, in mid-episode too; the two newest snapshots are kept, the rest pruned."""
    directory = tmp_path_factory.mktemp("store") / "replay"
    store = ReplayStore(directory, SLOTS)
    replay, records = recorders(capacity, 2)
    running, taken, written = [False] * 2, [], set()
    for number, move in [*moves, (0, "take"), (0, "write"), (0, "take"), (0, "write")]:
        record = records[number]
        if move == "begin":
            record.begin()
            running[number] = True
        elif move in ("step", "end") and running[number]:
            record.step(terminated=move == "end")
            running[number] = move == "step"
        elif move == "torn":
            replay.end_torn_episode(number)
            running[number] = False
        elif move == "take" and (snapshot := store.take(replay)) is not None:
            taken = [*taken, (snapshot, contents(replay))][-2:]
        elif move == "write":
            store.write()
            names = {path.name for path in directory.glob("*")}
            assert all(name.endswith(".safetensors") for name in names)
            written |= names
            store.prune({name for snapshot, _ in taken for name in segments_of(plain(snapshot))})
    needed = {name for snapshot, _ in taken for name in segments_of(plain(snapshot))}
    assert {path.name for path in directory.glob("*")} == needed
    for snapshot, expected in taken:
        other = FrameReplay(SPEC, ACTION, capacity, 2, seed=9)
        again = ReplayStore(directory, SLOTS)
        again.load(plain(snapshot), snapshot.arrays, other)
        assert_same(contents(other), expected)
        assert plain(again.take(other)) == plain(snapshot), "a restored replay is saved on, not anew"
        assert again.waiting == 0


def stored(tmp_path, capacity=40, steps=70):
    record = Recorder(FrameReplay(SPEC, ACTION, capacity))
    record.begin()
    store = ReplayStore(tmp_path / "replay", SLOTS)
    for _ in range(steps):
        record.step()
        snapshot = store.take(record.replay)
        store.write()
    return record, store, snapshot


def test_what_is_new_is_all_that_is_copied_and_written(tmp_path):
    record, store, _ = stored(tmp_path, capacity=60, steps=50)
    before = {path: path.stat().st_mtime_ns for path in store.directory.iterdir()}
    assert len(before) == 50 // SLOTS
    record.step(), record.step(), record.step()
    later = store.take(record.replay)
    assert len(later.arrays["0/reward"]) <= SLOTS + 1
    store.write()
    after = {path: path.stat().st_mtime_ns for path in store.directory.iterdir()}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1


def test_a_replay_that_was_never_stored_is_stored_in_bounded_parts(tmp_path):
    """As after a disk was full for long: what waits for the disk, and what a snapshot copies, stays small."""
    record = Recorder(FrameReplay(SPEC, ACTION, 300))
    record.begin()
    for _ in range(400):
        record.step()
    store, rounds = ReplayStore(tmp_path / "replay", SLOTS), 0
    while (snapshot := store.take(record.replay)) is None:
        assert store.waiting == 8
        store.write()
        rounds += 1
        record.step()
    store.write()
    assert rounds >= 300 // (8 * SLOTS) - 2
    expected = contents(record.replay)
    other = FrameReplay(SPEC, ACTION, 300)
    ReplayStore(tmp_path / "replay", SLOTS).load(plain(snapshot), snapshot.arrays, other)
    assert_same(contents(other), expected)
    np.testing.assert_array_equal(identities(other.sample(64).frames), identities(record.replay.sample(64).frames))


def test_a_segment_that_is_gone_or_changed_is_named(tmp_path):
    _, store, snapshot = stored(tmp_path)
    victim = sorted(store.directory.iterdir())[-2]
    whole = victim.read_bytes()
    for damaged in (b"", whole[:-1], whole[:90] + bytes([whole[90] ^ 1]) + whole[91:]):
        victim.write_bytes(damaged)
        with pytest.raises(DamagedError, match=f"{victim.name} has changed"):
            ReplayStore(store.directory).load(plain(snapshot), snapshot.arrays, FrameReplay(SPEC, ACTION, 40))
    victim.unlink()
    with pytest.raises(DamagedError, match=f"{victim.name} is missing"):
        ReplayStore(store.directory).load(plain(snapshot), snapshot.arrays, FrameReplay(SPEC, ACTION, 40))


def test_another_replay_is_refused(tmp_path):
    _, store, snapshot = stored(tmp_path)
    with pytest.raises(ValueError, match="capacity 40, this one 41"):
        store.load(plain(snapshot), snapshot.arrays, FrameReplay(SPEC, ACTION, 41))
