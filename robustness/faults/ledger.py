"""What a training lost, from what it left: its counters, its replay and its episodes must tell of the same steps."""

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.replay.ring import FrameRing
from avtd3_jax.settings.run_config import RunConfig, parse
from envloop.spaces import action_space, observation_space
from robustness.faults.training import Torn


@dataclass(frozen=True)
class Books:
    """Of a run that has ended.

    steps: transitions that the run counted.
    missing: of these, how many its replay or its episodes do not have.
    torn: episodes that lost their simulator, each with the one transition that was under way.
    finite: whether every parameter and optimiser state of the last checkpoint is.
    """

    steps: int
    missing: int
    torn: int
    finite: bool


def books(workdir: Path, torn: Sequence[Torn]) -> Books:
    """The books of the run in `workdir`, whose output told of `torn`; its last checkpoint is restored for it.

    Raises CheckpointError where it has none.
    """
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        run = parse(checkpoints.extras()["config"])
        specs = ObsSpec.from_space(observation_space(run.driving)), ActionSpec.from_space(action_space())
        replay = _replay(run, *specs)
        restored = checkpoints.restore(TD3(*specs, run.agent).init(run.seed), replay)
    counters = restored.extras["counters"]
    records = map(json.loads, (workdir / "episodes.jsonl").read_text().splitlines())
    whole = {record["episode"]: record["length"] for record in records if record["episode"] < counters["episode"]}
    broken = {one.episode: one.steps for one in torn if one.episode < counters["episode"]}
    # One that was torn after the last that ended may be younger than the checkpoint.
    unsure = [steps for episode, steps in broken.items() if episode > max(whole, default=-1)]
    return Books(
        steps=counters["step"],
        missing=_missing(counters["step"], [*whole.values(), *broken.values()], unsure, replay.rings),
        torn=len(torn),
        finite=all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(_numbers(restored.state))),
    )


def _missing(counted: int, told: Sequence[int], unsure: Sequence[int], rings: Sequence[FrameRing]) -> int:
    """Transitions that one of the books has and another has not.

    Args:
      told: lengths of all episodes that ended or were torn.
      unsure: those of them that may not be in the other books.
      rings: the replay; the last episode in each may have been under way.
    """
    stored = [_lengths(ring) for ring in rings]
    possible = {counted - sum(told)}
    for length in unsure:
        possible |= {untold + length for untold in possible}
    for lengths in stored:
        if lengths:
            possible |= {untold - lengths[-1] for untold in possible}
    difference = min(map(abs, possible))
    if any(ring.span[0] for ring in rings):  # the oldest have been overwritten
        return difference
    not_stored = Counter(filter(None, told)) - Counter(filter(None, unsure)) - Counter(itertools.chain(*stored))
    return max(difference, abs(counted - sum(map(sum, stored))), sum(n * length for length, n in not_stored.items()))


def _replay(run: RunConfig, obs_spec: ObsSpec, action_spec: ActionSpec) -> FrameReplay:
    return FrameReplay(obs_spec, action_spec, run.replay.capacity, run.num_envs, n_step=run.replay.n_step)


def _lengths(ring: FrameRing) -> list[int]:
    """Transitions of each episode in the ring, in order."""
    columns = ring.read_slots(*ring.span)
    starts, whole = columns["episode_start"].tolist(), columns["has_transition"].tolist()
    groups = itertools.groupby(zip(starts, whole, strict=True), key=lambda pair: pair[0])
    return [sum(done for _, done in group) for _, group in groups]


def _numbers(state: Any) -> Any:
    return state.params, state.target_params, state.opt_state
