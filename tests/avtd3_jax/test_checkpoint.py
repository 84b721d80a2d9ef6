"""Saved, restored and gone on with exactly; refused in one sentence when it does not fit."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from learner_cases import BOTH, VECTOR, filled_replay, make_learner, run_updates, same_bits

from avtd3_jax.checkpoint import CheckpointError, Checkpoints
from avtd3_jax.replay import FrameReplay
from avtd3_jax.spaces import ActionSpec


@pytest.fixture(scope="module")
def learner():
    return make_learner()


@pytest.fixture(scope="module")
def saved(learner, tmp_path_factory):
    """A directory with the checkpoints of steps 10 and 20, and the state at each."""
    directory = tmp_path_factory.mktemp("run") / "checkpoints"
    states, state = {}, learner.init(0)
    with Checkpoints(directory) as checkpoints:
        for step in (10, 20):
            state = run_updates(learner, state, 2, first=step)
            states[step] = jax.tree.map(lambda leaf: leaf.copy(), state)
            assert checkpoints.save(step, state, extras={"counters": {"step": step}, "seed": 2**80})
    return directory, states


def train(learner, state, replay, updates, first):
    for update in range(first, first + updates):
        state, _ = learner.step(state, replay.sample(8), update)
    return state


def test_a_run_goes_on_exactly(learner, tmp_path):
    """Fault 12: targets, optimisers, keys, counters and the replay with its generator, bit for bit."""
    replay = filled_replay()
    state = train(learner, learner.init(0), replay, 3, first=0)
    with Checkpoints(tmp_path / "with a space and ü") as checkpoints:
        assert checkpoints.save(3, state, replay.get_state(), {"update": 3})
        state = train(learner, state, replay, 3, first=3)  # donates what is being saved
        replay.begin_episode({"image": np.zeros((4, 36, 36), np.uint8), "vector": np.zeros(5, np.float32)})
        expected = train(learner, state, replay, 1, first=6)
    other = FrameReplay(BOTH, ActionSpec(2), 200, seed=77)
    with Checkpoints(tmp_path / "with a space and ü") as checkpoints:
        restored = checkpoints.restore(learner.init(123))
    assert (restored.step, restored.extras) == (3, {"update": 3})
    other.set_state(restored.replay)
    state = train(learner, restored.state, other, 3, first=restored.extras["update"])
    other.begin_episode({"image": np.zeros((4, 36, 36), np.uint8), "vector": np.zeros(5, np.float32)})
    assert same_bits(train(learner, state, other, 1, first=6), expected)


def test_newest_or_the_step_asked_for(learner, saved):
    directory, states = saved
    with Checkpoints(directory, read_only=True) as checkpoints:
        assert checkpoints.steps() == [10, 20]
        newest, older = checkpoints.restore(learner.init(1)), checkpoints.restore(learner.init(1), step=10)
        assert checkpoints.extras() == {"counters": {"step": 20}, "seed": 2**80}
    assert (newest.step, older.step) == (20, 10)
    assert newest.replay is None
    assert same_bits(newest.state, states[20])
    assert same_bits(older.state, states[10])


def test_evaluation_reads_parameters_alone(learner, saved):
    directory, states = saved
    with Checkpoints(directory, read_only=True) as checkpoints:
        step, params, extras = checkpoints.restore_params(learner.init(1).params)
    assert (step, extras["counters"]["step"]) == (20, 20)
    assert same_bits(params, states[20].params)


def test_old_ones_are_pruned_and_a_step_is_saved_once(learner, tmp_path):
    state = learner.init(0)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 2, 3):
            assert checkpoints.save(step, state)
        checkpoints.wait()
        assert checkpoints.steps() == [2, 3]


def damage(path):
    """Cuts every data file of a checkpoint in half."""
    for file in path.rglob("*"):
        if file.is_file() and file.stat().st_size > 1000:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_damage_falls_back_to_the_one_before_with_a_warning(learner, saved, tmp_path):
    directory = shutil.copytree(saved[0], tmp_path / "copy")
    damage(directory / "20")
    with Checkpoints(directory, read_only=True) as checkpoints:
        with pytest.warns(UserWarning, match=r"copy/20 is damaged .* the one before it is used"):
            restored = checkpoints.restore(learner.init(1))
        assert restored.step == 10
        with pytest.raises(CheckpointError, match=r"copy/20 is damaged .* remove it"):
            checkpoints.restore(learner.init(1), step=20)


def test_half_written_checkpoints_are_passed_over(learner, saved, tmp_path):
    directory = shutil.copytree(saved[0], tmp_path / "copy")
    (directory / "20").rename(directory / "20.orbax-checkpoint-tmp-0")
    with Checkpoints(directory, read_only=True) as checkpoints:
        assert checkpoints.restore(learner.init(1)).step == 10


def test_another_architecture_is_named(saved):
    with Checkpoints(saved[0], read_only=True) as checkpoints:
        blind = make_learner(VECTOR)
        other = r"its actor/mlp/Dense_0/kernel is float32\[517, 32\], this configuration's is float32\[5, 32\]"
        with pytest.raises(CheckpointError, match=f"of another architecture: {other}"):
            checkpoints.restore(blind.init(0))
        with pytest.raises(CheckpointError, match=other):
            checkpoints.restore_params(blind.init(0).params)


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
        pytest.raises(CheckpointError, match=r"step 15 .*\[10, 20\]"),
    ):
        checkpoints.restore(learner.init(0), step=15)


FULL_DISK = """
import resource, sys, warnings
from avtd3_jax import runtime
runtime.setup("cpu", cache_dir=None)
from avtd3_jax.checkpoint import CheckpointError, Checkpoints
from avtd3_jax.learner import Learner
from avtd3_jax.spaces import ActionSpec, ObsSpec

learner = Learner(ObsSpec(image=None, vector=5), ActionSpec(2))
state = learner.init(0)
checkpoints = Checkpoints(sys.argv[1])
checkpoints.save(1, state)
checkpoints.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # longer files cannot be written, as on a full disk
checkpoints.save(2, state)  # fails on orbax's own thread
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    checkpoints.save(3, state)
print([str(warning.message) for warning in caught if warning.category is UserWarning])
try:
    checkpoints.close()
except CheckpointError as error:
    print(error)
with Checkpoints(sys.argv[1], read_only=True) as checkpoints:
    print("restored", checkpoints.restore(learner.init(1)).step)
"""


def test_a_full_disk_leaves_the_run_and_the_checkpoint_before(tmp_path):
    """In a process of its own: orbax leaves failed writes to the garbage collector, which complains in later tests."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "run")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    warned, closed, restored = done.stdout.splitlines()
    assert re.search(r"step 2 could not be written .* look for a full disk .* Training goes on", warned)
    assert re.search(r"step 3 could not be written", closed)
    assert restored == "restored 1"


def test_a_removed_directory_is_no_end_either(learner, tmp_path):
    directory, aside = tmp_path / "run", tmp_path / "aside"
    state = learner.init(0)
    with Checkpoints(directory) as checkpoints:
        checkpoints.save(1, state)
        checkpoints.wait()
        directory.rename(aside)
        directory.write_text("in the way")
        with pytest.warns(UserWarning, match=r"step 2 could not be saved .* training goes on"):
            assert not checkpoints.save(2, state)
        directory.unlink()
        aside.rename(directory)
        assert checkpoints.save(3, state)
        checkpoints.wait()
        assert checkpoints.steps() == [1, 3]


def test_an_empty_replay_is_saved_too(learner, tmp_path):
    replay = FrameReplay(BOTH, ActionSpec(2), 200)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, learner.init(0), replay.get_state())
        checkpoints.wait()
        replay.set_state(checkpoints.restore(learner.init(0)).replay)
    assert len(replay) == 0


def test_nothing_in_a_checkpoint_is_pickled(learner, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, learner.init(0), filled_replay().get_state(), {"note": "x"})
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert not [
        file for file in files if file.suffix in (".pkl", ".pickle", ".npy") or file.read_bytes()[:1] == b"\x80"
    ]
