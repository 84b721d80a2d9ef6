"""The rows of the campaign's table."""

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.settings.run_config import parse
from envloop.spaces import action_space, observation_space
from reporting.publish import Spread
from robustness.faults.endings import Ending
from robustness.faults.injections import APART, Fault
from robustness.faults.ledger import Books, books
from robustness.faults.shims import Skipped
from robustness.faults.stage import Stage
from robustness.faults.strike import strike
from robustness.faults.training import Training, TrainingEnded

_WARM_UP = 150  # steps before the first fault: learning has begun

_ENDLESS, _UNKNOWN_APART = 1_000_000, 100
_EPISODES_OVER = 600  # steps after which some episode has ended
_KILLED = "trainer killed (SIGKILL), --resume"

Row = dict[str, Any]


def of_fault(fault: Fault, times: int, folder: Path, seed: int) -> Row:
    """One training that meets `fault` `times` times and then has to reach its last step."""
    rng, recoveries, workdir = random.Random(seed), [], folder / "run"
    injected, trouble = 0, ""
    total = _ENDLESS if fault.apart is None else _WARM_UP + (times + 1) * fault.apart
    try:
        with Stage(fault.needs, workdir, total_steps=total, seed=seed) as stage:
            try:
                for i in range(times):
                    if fault.apart is None:
                        stage.training.reach(max(_WARM_UP, stage.training.step) + rng.randrange(_UNKNOWN_APART))
                    else:
                        stage.training.reach(_WARM_UP + i * fault.apart + rng.randrange(fault.apart // 2))
                    injected += 1
                    recoveries.append(strike(stage, fault, rng))
                code, wanted = _ended(stage.training, told_to=fault.apart is None)
                if code != wanted:
                    trouble = f"ended with {code}: {stage.training.last_words()}"
            except TrainingEnded as error:
                trouble = str(error)
            torn = list(stage.training.torn)
    except Skipped as why:
        return {"fault": fault.name, "injected": 0, "survived": f"skipped: {why}"}
    if not trouble:
        found = books(workdir, torn)
        if found.missing or not found.finite or (fault.apart is not None and found.steps != total):
            trouble = f"the books do not balance: {found}"
        elif not list((workdir / "tensorboard").glob("events.*")):
            trouble = "TensorBoard has no file"
    survived = max(0, injected - bool(trouble))
    if trouble:
        return _row(fault.name, injected, survived, trouble, recoveries)
    return _row(fault.name, injected, survived, _lost(found, fault.costs), recoveries)


def _ended(training: Training, told_to: bool) -> tuple[int, int]:
    """The exit code of a training at its end, which it may have to be told to come to; and what it should be."""
    if not told_to:
        return training.finish(), 0
    training.reach(max(training.step, _EPISODES_OVER))  # so that there is a whole episode to save
    training.process.send_signal(signal.SIGINT)
    return training.finish(), 128 + signal.SIGINT


def of_nan(learning_rates: Sequence[str], folder: Path, seed: int) -> Row:
    """Trainings whose critic learns at absurd rates: they must stop, say why, and leave a checkpoint that is finite."""
    survived, trouble = 0, []
    for i, rate in enumerate(learning_rates):
        workdir = folder / f"run{i}"
        values = {"agent.critic_lr": rate, "total_steps": 2000, "exploration_steps": 300, "checkpoint_every": 1}
        with Training(workdir, {**values, "seed": seed}) as training:
            code = training.finish()
            told = training.said("non-finite") and not training.said("Traceback")
        found = books(workdir, training.torn)
        if code == 1 and told and found.finite and not found.missing:
            survived += 1
        else:
            trouble.append(f"critic_lr {rate}: exit code {code}, told: {told}, {found}")
    lost = "; ".join(trouble) or "the episode under way; the last checkpoint is whole and finite"
    return _row("learner NaN: stops in plain words", len(learning_rates), survived, lost, [])


def of_ending(ending: Ending, times: int, folder: Path, seed: int) -> Row:
    """Trainings that a fault ends: each must say so, be saved, and leave no process."""
    rng, survived, seconds, trouble, steps = random.Random(seed), 0, [], [], 0
    for i in range(times):
        workdir = folder / f"run{i}"
        with Training(workdir, {**APART, "total_steps": 100_000, "seed": seed}) as training:
            training.reach(_EPISODES_OVER + rng.randrange(_EPISODES_OVER))
            training.family()
            began = time.monotonic()
            ending.bring(training)
            code = training.finish()
            seconds.append(time.monotonic() - began)
            told, orphans = training.said(ending.words) and not training.said("Traceback"), training.orphans()
        found = books(workdir, training.torn)
        steps += found.steps
        if code == ending.code and told and not orphans and found.finite and not found.missing:
            survived += 1
        else:
            trouble.append(f"exit code {code}, told: {told}, left {orphans}, {found}")
    lost = "; ".join(trouble) or f"the episodes under way; 0 of {steps} saved transitions, and no process is left"
    return _row(ending.name, times, survived, lost, seconds)


def of_trainer_killed(times: int, folder: Path, seed: int) -> Row:
    """Trainings that are killed at a random moment and resumed, against one that never was: parameters bit for bit."""
    values = {"total_steps": 400, "checkpoint_every": 1, "seed": seed}
    rng, survived, seconds, trouble = random.Random(seed), 0, [], []
    began = time.monotonic()
    with Training(folder / "whole", values) as training:
        training.reach(1)
        start_s = time.monotonic() - began
        if code := training.finish():
            return _row(_KILLED, 0, 0, f"the reference ended with {code}: {training.last_words()}", [])
    life_s = time.monotonic() - began
    wanted = final_arrays(folder / "whole")
    for i in range(times):
        workdir = folder / f"killed{i}"
        with Training(workdir, values) as training:
            moment = rng.uniform(start_s, life_s)
            with contextlib.suppress(TrainingEnded):
                training.until(lambda: False, moment, "kill")
            training.process.kill()
        resume = (workdir / "config.json").exists()  # else it was killed before it had begun
        began = time.monotonic()
        with Training(workdir, values, resume=resume) as training:
            try:
                training.reach(1)
                seconds.append(time.monotonic() - began)
                code = training.finish()
            except TrainingEnded as error:
                trouble.append(str(error))
                continue
        differing = [name for name, array in final_arrays(workdir).items() if not np.array_equal(array, wanted[name])]
        survived += not (code or differing)
        if code or differing:
            trouble.append(f"kill {i} after {moment:.1f} s: exit code {code}, {len(differing)} arrays differ")
        shutil.rmtree(workdir)
    lost = "; ".join(trouble[:3]) or "nothing in the end: the episode under way is driven again, bit for bit"
    return _row(_KILLED, times, survived, lost, seconds)


def final_arrays(workdir: Path) -> dict[str, np.ndarray]:
    """Every array of the learner in the last checkpoint, by its path."""
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        run = parse(checkpoints.extras()["config"])
        specs = ObsSpec.from_space(observation_space(run.driving)), ActionSpec.from_space(action_space())
        state = checkpoints.restore(TD3(*specs, run.agent).init(run.seed)).state
    parts: dict[str, Any] = {"params": state.params, "target": state.target_params, "optimisers": state.opt_state}
    parts["key"] = jax.random.key_data(state.key)
    leaves, _ = jax.tree_util.tree_flatten_with_path(parts)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _lost(found: Books, costs: str) -> str:
    under_way = f"{found.torn} transitions under way, {found.missing} of {found.steps} others"
    return f"{under_way}; {costs}" if costs else under_way


def _row(name: str, injected: int, survived: int, lost: str, recoveries: Sequence[float]) -> Row:
    row: Row = {"fault": name, "injected": injected, "survived": survived, "lost": lost}
    if recoveries:
        row["seconds to recover"] = Spread.of(list(recoveries))
    return row
