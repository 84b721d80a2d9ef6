"""A training with nothing but steps and updates to do, in a folder that is gone at its end: what benchmarks measure."""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.settings.config_file import load
from avtd3_jax.settings.run_config import RunConfig
from avtd3_jax.training.build import Parts, build_parts, build_trainer
from avtd3_jax.training.interfaces import Updates
from avtd3_jax.training.logs import RunLog
from avtd3_jax.training.phases import PhaseTimer
from avtd3_jax.training.trainer import Trainer
from benchmarks.common import OF_RECORD
from envloop.make import spaces_of
from envloop.workers.pool import EnvPool

_EXPLORATION = 300


class _Closable(Updates, Protocol):
    def close(self) -> None: ...


L = TypeVar("L", bound=_Closable)


@dataclass(frozen=True)
class BareTraining(Generic[L]):
    """What a training is made of."""

    trainer: Trainer
    learner: L
    pool: EnvPool
    timer: PhaseTimer


def configured(changes: dict[str, Any]) -> RunConfig:
    """The configuration of record with `changes`, and nothing but steps and updates to do."""
    return load(
        OF_RECORD,
        {
            "exploration_steps": _EXPLORATION,
            "total_steps": 10_000_000,
            "log_every": 10_000_000,
            "eval_every": 0,
            "checkpoint_every": 0,
            "replay.capacity": 20_000,
            **changes,
        },
    )


def bare_training(
    run: RunConfig,
    make_learner: Callable[[Parts, PhaseTimer], L],
    stack: ExitStack,
    listener: Callable[[str, float, int], None] = lambda tag, value, step: None,
) -> BareTraining[L]:
    """Puts `run` together, with the learner that `make_learner` gives; `stack` closes what it opens.

    `listener` is told of every scalar: see RunLog.
    """
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    timer = PhaseTimer()
    parts = build_parts(run, *spaces_of(run.env))
    learner = make_learner(parts, timer)
    stack.callback(learner.close)
    pool = EnvPool(run.environments(), timer)
    stack.callback(pool.close)
    log = RunLog(folder, listener=listener)
    stack.callback(log.close)
    trainer = build_trainer(
        run,
        parts,
        learner,
        pool.description,
        workdir=folder,
        log=log,
        checkpoints=cast(Checkpoints, _NoCheckpoints()),
        timer=timer,
        stack=stack,
        evaluate=lambda policy, step: {},
        clock=time.perf_counter,
    )
    return BareTraining(trainer, learner, pool, timer)


class _NoCheckpoints:
    """Saves nothing: saving is no part of what is measured."""

    def take(self, *_: Any, **__: Any) -> bool:
        return True

    def flush(self) -> None:
        return None
