"""Saved, restored and gone on with exactly; refused in one sentence when it does not fit."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from learner_cases import BOTH, VECTOR, filled_replay, make_learner, run_updates, same_bits

from avtd3_jax.agent.spaces import ActionSpec
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.errors import CheckpointError
from avtd3_jax.replay.replay import FrameReplay

EXTRAS = {"config": {"seed": 2**80}}


@pytest.fixture(scope="module")
def learner():
    return make_learner(VECTOR)


def long_replay(steps=0, capacity=4000):
    """Episodes of 50 steps of a vector."""
    replay = FrameReplay(VECTOR, ActionSpec(2), capacity, seed=3)
    go_on(replay, steps)
    return replay


def go_on(replay, steps):
    rng = np.random.default_rng(steps)
    for step in range(steps):
        if step % 50 == 0:
            replay.begin_episode(rng.random(5, np.float32))
        replay.add(rng.uniform(-1, 1, 2), step, rng.random(5, np.float32), False, step % 50 == 49)


@pytest.fixture(scope="module")
def saved(learner, tmp_path_factory):
    """A directory with the checkpoints of steps 1500 and 2500, and the state at each."""
    directory = tmp_path_factory.mktemp("run") / "checkpoints"
    states, state, replay = {}, learner.init(0), long_replay()
    with Checkpoints(directory) as checkpoints:
        for step, steps in ((1500, 1500), (2500, 1000)):
            go_on(replay, steps)
            state = run_updates(learner, state, 2, first=step)
            states[step] = jax.tree.map(lambda leaf: leaf.copy(), state)
            checkpoints.save(step, state, replay, {**EXTRAS, "at": step})
    return directory, states


def copy_of(saved, tmp_path):
    return Path(shutil.copytree(saved[0], tmp_path / "copy"))


def train(learner, state, replay, updates, first):
    for update in range(first, first + updates):
        state, _ = learner.step(state, replay.sample(8), update)
    return state


def test_a_run_goes_on_exactly(tmp_path):
    """Targets, optimisers, keys, counters and the replay with its generator, bit for bit."""
    learner, replay = make_learner(), filled_replay()
    state = train(learner, learner.init(0), replay, 3, first=0)
    with Checkpoints(tmp_path / "with a space and ü") as checkpoints:
        assert checkpoints.take(3, state, replay, {"update": 3})
        state = train(learner, state, replay, 3, first=3)  # donates what is being saved
        replay.begin_episode({"image": np.zeros((4, 36, 36), np.uint8), "vector": np.zeros(5, np.float32)})
        expected = train(learner, state, replay, 1, first=6)
    other = FrameReplay(BOTH, ActionSpec(2), 200, seed=77)
    with Checkpoints(tmp_path / "with a space and ü") as checkpoints:
        restored = checkpoints.restore(learner.init(123), other)
    assert (restored.step, restored.extras) == (3, {"update": 3})
    state = train(learner, restored.state, other, 3, first=restored.extras["update"])
    other.begin_episode({"image": np.zeros((4, 36, 36), np.uint8), "vector": np.zeros(5, np.float32)})
    assert same_bits(train(learner, state, other, 1, first=6), expected)


def test_newest_or_the_step_asked_for(learner, saved):
    directory, states = saved
    with Checkpoints(directory, read_only=True) as checkpoints:
        assert checkpoints.steps() == [1500, 2500]
        newest, older = checkpoints.restore(learner.init(1)), checkpoints.restore(learner.init(1), step=1500)
        assert checkpoints.extras() == {**EXTRAS, "at": 2500}
    assert (newest.step, older.step) == (2500, 1500)
    assert same_bits(newest.state, states[2500])
    assert same_bits(older.state, states[1500])


def test_evaluation_reads_parameters_alone(learner, saved, tmp_path):
    directory = copy_of(saved, tmp_path)
    shutil.rmtree(directory / "replay")
    shutil.rmtree(directory / "2500" / "learner")
    with Checkpoints(directory, read_only=True) as checkpoints:
        step, params, extras = checkpoints.restore_params(learner.init(1).params)
    assert (step, extras["at"]) == (2500, 2500)
    assert same_bits(params, saved[1][2500].params)


def test_orbax_alone_reads_the_parameters(learner, saved):
    directory, states = saved
    with ocp.StandardCheckpointer() as reader:
        found = reader.restore(directory / "2500" / "params")
    assert same_bits(found, states[2500].params)


def test_old_ones_are_pruned_and_a_step_saved_again_replaces_its_first(learner, tmp_path):
    state = learner.init(0)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for number, step in enumerate((1, 2, 2, 3, 3)):
            checkpoints.save(step, state, extras={"number": number})
        assert checkpoints.steps() == [2, 3]
        assert checkpoints.extras() == {"number": 4}
        assert {path.name for path in tmp_path.iterdir()} == {"2", "3"}


def test_what_is_taken_is_written_when_it_is_asked_for(learner, tmp_path):
    """A run that is stopped is saved as it was when the last checkpoint was taken, written or not."""
    state, replay = learner.init(0), long_replay(2000)
    with Checkpoints(tmp_path) as checkpoints:
        assert not checkpoints.take(1, state, replay, {"number": 1}, write=False)
        assert not checkpoints.take(2, state, replay, {"number": 2}, write=False)
        assert checkpoints.steps() == []
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [2]
        other = long_replay()
        assert checkpoints.restore(learner.init(1), other).extras == {"number": 2}
    assert other.get_state() == replay.get_state()


def flipped(path, byte):
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << (byte % 8)
    path.write_bytes(data)


def largest_file(item):
    return max((file for file in item.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)


@pytest.mark.parametrize("name", ["checkpoint.json", "params", "learner", "params/_METADATA", "replay.safetensors"])
def test_a_changed_byte_anywhere_falls_back_to_the_one_before_with_a_warning(learner, saved, tmp_path, name):
    directory = copy_of(saved, tmp_path)
    path = directory / "2500" / name
    path = largest_file(path) if path.is_dir() else path
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for byte in (0, 12, len(whole) - 1, *rng.integers(len(whole), size=5).tolist()):
        flipped(path, byte)
        replay = long_replay()
        with Checkpoints(directory, read_only=True) as checkpoints:
            with pytest.warns(
                UserWarning, match=rf"copy/2500 is damaged: .*{path.name} has changed .* the one before it"
            ):
                restored = checkpoints.restore(learner.init(1), replay)
            assert restored.step == 1500
            assert same_bits(restored.state, saved[1][1500])
            assert replay.rings[0].span == (0, 1530)
        path.write_bytes(whole)
    path.unlink()
    with (
        Checkpoints(directory, read_only=True) as checkpoints,
        pytest.raises(CheckpointError, match=rf"copy/2500 is damaged: .*{path.name} is missing"),
    ):
        checkpoints.restore(learner.init(1), long_replay(), step=2500)


def test_a_damaged_segment_falls_back_too_unless_all_checkpoints_share_it(learner, saved, tmp_path):
    directory = copy_of(saved, tmp_path)
    first, second = sorted((directory / "replay").iterdir())
    flipped(second, 5000)
    with Checkpoints(directory, read_only=True) as checkpoints:
        with pytest.warns(UserWarning, match=f"{second.name} has changed since it was written; the one before"):
            assert checkpoints.restore(learner.init(1), long_replay()).step == 1500
        flipped(first, 5000)
        with (
            pytest.warns(UserWarning, match="copy/2500 is damaged"),
            pytest.raises(CheckpointError, match=f"copy/1500 is damaged: .*{first.name} has changed"),
        ):
            checkpoints.restore(learner.init(1), long_replay())
        assert checkpoints.restore(learner.init(1)).step == 2500  # without the replay there is nothing wrong


def test_a_damaged_checkpoint_is_not_in_the_way_of_the_run_that_falls_back(learner, saved, tmp_path):
    directory = copy_of(saved, tmp_path)
    flipped(largest_file(directory / "2500" / "params"), 1000)
    replay = long_replay()
    with Checkpoints(directory) as checkpoints:
        with pytest.warns(UserWarning, match="copy/2500 is damaged"):
            state = checkpoints.restore(learner.init(1), replay).state
        go_on(replay, 900)
        checkpoints.save(2400, state, replay)
        assert checkpoints.steps() == [1500, 2400]
        go_on(replay, 100)
        checkpoints.save(2500, state, replay)
    other = long_replay()
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.restore(learner.init(1), other).step == 2500
    assert other.get_state() == replay.get_state()
    mine, theirs = replay.rings[0], other.rings[0]
    for name, column in mine.read_slots(*mine.span).items():
        np.testing.assert_array_equal(theirs.read_slots(*theirs.span)[name], column)


def test_half_written_checkpoints_are_passed_over_and_removed(learner, saved, tmp_path):
    directory = copy_of(saved, tmp_path)
    (directory / "2500").rename(directory / "2500.part")
    with Checkpoints(directory, read_only=True) as checkpoints:
        assert checkpoints.restore(learner.init(1)).step == 1500
    assert (directory / "2500.part").exists()
    Checkpoints(directory).close()
    assert not (directory / "2500.part").exists()


def test_another_architecture_is_named(tmp_path):
    seeing, blind = make_learner(), make_learner(VECTOR)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(10, seeing.init(0))
        other = r"its actor/mlp/Dense_0/kernel is float32\[517, 32\], this configuration's is float32\[5, 32\]"
        with pytest.raises(CheckpointError, match=f"of another architecture: {other}"):
            checkpoints.restore(blind.init(0))
        with pytest.raises(CheckpointError, match=other):
            checkpoints.restore_params(blind.init(0).params)


def test_another_replay_is_no_damage(learner, saved):
    with (
        Checkpoints(saved[0], read_only=True) as checkpoints,
        pytest.raises(ValueError, match="capacity 4000, this one 5000"),
    ):
        checkpoints.restore(learner.init(1), long_replay(capacity=5000))


def test_missing_checkpoints_are_named(learner, saved, tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint directory"):
        Checkpoints(tmp_path / "nowhere", read_only=True)
    with (
        Checkpoints(tmp_path / "new") as checkpoints,
        pytest.raises(CheckpointError, match="no finished checkpoint in"),
    ):
        checkpoints.restore(learner.init(0))
    with (
        Checkpoints(saved[0], read_only=True) as checkpoints,
        pytest.raises(CheckpointError, match=r"step 15 .*\[1500, 2500\]"),
    ):
        checkpoints.restore(learner.init(0), step=15)


FULL_DISK = """
import resource, sys, warnings
from avtd3_jax import runtime
runtime.setup("cpu", cache_dir=None)
import numpy as np
from avtd3_jax.errors import CheckpointError
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.agent.td3 import TD3
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec

spec = ObsSpec(image=None, vector=5), ActionSpec(2)
learner, replay = TD3(*spec), FrameReplay(*spec, 5000)
state, shared = learner.init(0), np.zeros(5, np.float32)

def go_on(steps):
    replay.begin_episode(shared)
    for step in range(steps):
        replay.add(np.zeros(2), step, shared, False, step == steps - 1)

def limit(size):  # longer files cannot be written, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

checkpoints = Checkpoints(sys.argv[1])
go_on(1100)
checkpoints.save(1, state, replay)
limit(20_000)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for step in range(2, 7):
        go_on(600)
        checkpoints.take(step, state, replay)
        while checkpoints._writing and not checkpoints._writing[0].done():
            pass
    print([str(warning.message) for warning in caught if warning.category is UserWarning])
try:
    checkpoints.wait()
except CheckpointError as error:
    print(error)
print(checkpoints.steps(), [path.name for path in checkpoints.directory.rglob("*.part")])
limit(resource.RLIM_INFINITY)
go_on(100)
checkpoints.take(7, state, replay)
checkpoints.close()
other = FrameReplay(*spec, 5000)
with Checkpoints(sys.argv[1], read_only=True) as checkpoints:
    print(checkpoints.restore(learner.init(1), other).step, other.get_state() == replay.get_state())
    mine, theirs = replay.rings[0], other.rings[0]
    print(all((column == theirs.read_slots(*theirs.span)[name]).all()
              for name, column in mine.read_slots(*mine.span).items()))
"""


def test_a_full_disk_leaves_the_run_and_the_checkpoint_before_and_is_caught_up_with(tmp_path):
    """In a process of its own, whose files can only be so long."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "run")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    warned, raised, left, restored, same = done.stdout.splitlines()
    sentence = r"step {} could not be written .*File too large.* look for a full disk .* Training goes on"
    assert all(re.search(sentence.format(step), warned) for step in (2, 3, 5)), warned
    assert warned.count("could not be written") == 3, "the 3rd failure is not told, nor the 5th"
    assert "step 6 could not be written" in raised
    assert left == "[1] []"
    assert restored == "7 True"
    assert same == "True"


def test_a_removed_directory_is_no_end_either(learner, tmp_path):
    directory, aside = tmp_path / "run", tmp_path / "aside"
    state, replay, other = learner.init(0), long_replay(2000), long_replay()
    with Checkpoints(directory) as checkpoints:
        checkpoints.save(1, state, replay)
        directory.rename(aside)
        directory.write_text("in the way")
        with pytest.raises(CheckpointError, match=r"step 2 could not be written"):
            checkpoints.save(2, state, replay)
        directory.unlink()
        checkpoints.save(3, state, replay)  # with the segments that were there once
        assert checkpoints.steps() == [3]
        assert checkpoints.restore(state, other).step == 3
    assert other.get_state() == replay.get_state()


def test_an_error_is_not_hidden_by_a_checkpoint_that_cannot_be_written(learner, tmp_path):
    directory = tmp_path / "run"

    def fail():
        with Checkpoints(directory) as checkpoints:
            checkpoints.take(1, learner.init(0), write=False)
            directory.rmdir()
            directory.write_text("in the way")
            raise KeyError("what ended the run")

    with pytest.warns(UserWarning, match="step 1 could not be written"), pytest.raises(KeyError, match="what ended"):
        fail()


def test_an_empty_replay_is_saved_too(learner, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, learner.init(0), long_replay())
        replay = long_replay()
        checkpoints.restore(learner.init(0), replay)
    assert len(replay) == 0


def test_nothing_in_a_checkpoint_is_pickled(saved):
    files = [file for file in saved[0].rglob("*") if file.is_file()]
    assert not [file for file in files if file.read_bytes()[:1] == b"\x80"]
