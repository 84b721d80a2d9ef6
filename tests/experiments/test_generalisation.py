"""A fresh learner on a part of a run's replay: what it may learn from, and the command on a run that was saved."""

import numpy as np
import pytest

from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.errors import ConfigError
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.settings.run_config import RunConfig, file_values, parse
from avtd3_jax.training.build import build_parts
from envloop.make import spaces_of
from envloop.task.affordances import AFFORDANCES, COLUMN_KINDS
from envloop.task.columns import COLUMNS
from experiments import generalisation

TOLD = {
    "env": {"privileged": True, "columns": True, "picture": "fovea"},
    "agent": {"auxiliary_weight": 1.0, "columns": len(COLUMN_KINDS)},
    "replay": {"capacity": 100},
    "batch_size": 4,
}
LENGTH = 10  # of an episode


def fill(replay: FrameReplay, episodes: int) -> None:
    """Every observation's frame and privileged numbers are its number, counted over all episodes."""

    def observation(number: int, begin: int) -> dict[str, np.ndarray]:
        frames = np.maximum(np.arange(number - 3, number + 1), begin)
        told = np.full(len(AFFORDANCES) + COLUMNS * len(COLUMN_KINDS), number / 100.0, np.float32)
        image = np.broadcast_to(frames[:, None, None], (4, 84, 84)).astype(np.uint8)
        return {"image": image, "vector": np.full(23, number, np.float32), "privileged": told}

    for begin in range(0, episodes * LENGTH, LENGTH):
        replay.begin_episode(observation(begin, begin))
        for number in range(begin + 1, begin + LENGTH):
            last = number == begin + LENGTH - 1
            replay.add(np.zeros(2, np.float32), 0.0, observation(number, begin), False, last)


@pytest.fixture(scope="module")
def run() -> RunConfig:
    return parse(TOLD)


def test_it_learns_from_whole_episodes_of_the_first_part_alone(run):
    replay = build_parts(run, *spaces_of(run.env)).replay
    fill(replay, episodes=13)  # the ring holds the last 100 of 130
    drives = generalisation.Drives(replay.rings[0], stack=4)
    cut = drives.part(0.75)
    assert (len(drives), cut) == (100, 80)
    np.testing.assert_allclose(drives.told(np.array([0, cut]))[:, 0], [0.3, 1.1])
    stacks = drives.observations(np.array([40, 42, 49]))["image"][:, :, 0, 0]
    assert stacks.tolist() == [[70] * 4, [70, 70, 71, 72], [76, 77, 78, 79]]
    drives.keep(replay.rings[0], cut)
    assert len(replay) == 8 * (LENGTH - 1)
    sampled = np.concatenate([replay.sample(32).privileged[:, 0] for _ in range(20)])
    assert sampled.min() >= 0.3 - 1e-6
    assert sampled.max() < 1.1


def test_a_runs_replay_is_learned_from_and_both_parts_are_judged(run, tmp_path, capsys):
    parts = build_parts(run, *spaces_of(run.env))
    fill(parts.replay, episodes=4)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(7, parts.agent.init(0), parts.replay, {"config": file_values(run)})
    assert generalisation.main(["--checkpoint", str(tmp_path), "--updates", "2"]) == 0
    out = capsys.readouterr().out
    assert "30 decisions to learn from, 10 others" in out
    rows = [line for line in out.splitlines() if line.startswith("| ") and "%" in line]
    assert len(rows) == 2 * (len(AFFORDANCES) + len(COLUMN_KINDS))


def test_another_count_of_numbers_for_a_column_is_refused():
    with pytest.raises(
        ConfigError, match=r"agent\.columns is 2 and env\.columns tells 3 numbers.*set agent\.columns to 3"
    ):
        parse({**TOLD, "agent": {**TOLD["agent"], "columns": 2}})
