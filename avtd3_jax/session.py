"""A run from its opened environments to its last checkpoint."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from tqdm import tqdm

from avtd3_jax import runtime
from avtd3_jax.agent.placement import place
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.commands import OWN_ERRORS
from avtd3_jax.errors import CheckpointError, ConfigError
from avtd3_jax.monitor.station import Silence
from avtd3_jax.monitor.watched import WatchedEnvironments
from avtd3_jax.settings.run_config import RunConfig, changed_keys
from avtd3_jax.training import hosts
from avtd3_jax.training.build import build_learner, build_parts, build_trainer
from avtd3_jax.training.header import device_record, print_header, simulator_name
from avtd3_jax.training.learner import Learner
from avtd3_jax.training.logs import RunLog, to_json, write_json
from avtd3_jax.training.phases import PhaseTimer
from avtd3_jax.training.provenance import machine_record, source_record
from avtd3_jax.training.run_directory import held, tracebacks_kept, writing
from avtd3_jax.training.stop_signal import StopSignal
from avtd3_jax.training.trainer import Counters, Policy
from envloop.make import simulator_of, spaces_of
from envloop.workers.pool import EnvPool


def learn(
    run: RunConfig,
    values: Mapping[str, Any],
    workdir: Path,
    opening: Future[EnvPool],
    *,
    resume: bool,
    stop: StopSignal,
    page: Silence,
    timer: PhaseTimer,
    began: float,
    publish: Callable[[Any], Any] | None,
) -> None:
    """Trains as `run` says, in `workdir`.

    Args:
      values: the configuration as plain values, for the run's directory.
      opening: the environments, which may still be starting.
      resume: go on from the last checkpoint.
      stop: what ends the run before its time.
      page: is told of the run.
      timer: of its phases.
      began: `time.perf_counter()` at its start.
      publish: where environments act for themselves, what puts parameters where they can read them.

    Raises:
      Avtd3Error, EnvLoopError: in one plain sentence, what is wrong. The traceback of any other error is left in the
        run's directory as well; the run is saved in either case.
    """
    with ExitStack() as stack:
        several, join = run.devices != "1", partial(hosts.join, run.hosts)
        info = runtime.setup(run.device, option="--config.device", several_devices=several, join=join)
        hosts.greet(run.hosts)
        stack.enter_context(held(workdir, resume))
        stack.enter_context(tracebacks_kept(workdir, OWN_ERRORS))
        checkpoints = stack.enter_context(Checkpoints(workdir / "checkpoints", keep=run.checkpoints_kept))
        if resume:
            _check_resumable(values, checkpoints, workdir)
        placement = place(run.devices, run.batch_size, info.platform)
        parts = build_parts(run, *spaces_of(run.env), placement)
        state = parts.agent.init(run.seed)
        progress: dict[str, Any] = {}
        if resume and checkpoints.steps():
            _, state, progress = checkpoints.restore(state, parts.replay)
        counters = Counters(**progress.get("counters", {}))
        if run.hosts.count > 1:
            assert placement is not None
            state, counters.update = hosts.as_the_first_host(state, counters.update, placement)
        kind = partial(hosts.JointLearner, stop) if run.hosts.count > 1 else Learner
        learner = build_learner(run, parts, timer, state, kind)
        stack.callback(learner.close)
        envs = opening.result()
        env = envs.description
        with writing(workdir):
            write_json(workdir / "config.json", values)
            made_by = {"source": source_record(), "machine": machine_record(), "device": device_record(info)}
            write_json(workdir / "provenance.json", {"simulator": env.simulator, **made_by})
            resumed_at = counters.step if resume else None
            log = RunLog(workdir, resumed_at, evaluated_at=counters.evaluated_at, listener=page.point)
        stack.callback(log.close)
        named = {"run": workdir.name, "task": env.task, "simulator": simulator_name(env.simulator)}
        page.about({**named, "device": str(info.device), "total_steps": run.total_steps})
        page.gauge("replay", lambda: parts.replay.fill)
        if run.replay.prefetch:
            page.gauge("batches made ahead", learner.batches_ready)
        watched = WatchedEnvironments(envs, env, page, run.monitor.pictures_per_s)

        def report(sentence: str) -> None:
            page.event(sentence)
            tqdm.write(sentence, file=sys.stderr)

        print_header(run, env, parts, parts.agent.groups(state.params), info, workdir, counters.step)
        trainer = build_trainer(
            run,
            parts,
            learner,
            env,
            workdir=workdir,
            log=log,
            checkpoints=checkpoints,
            timer=timer,
            stack=stack,
            evaluate=partial(_evaluate, run, envs, workdir, watched, page),
            clock=lambda: counters.wall_s + time.perf_counter() - began,
            description={"config": to_json(values), "simulator": env.simulator},
            report=report,
            publish=publish,
            tell=tqdm.write,
        )
        if progress:
            trainer.set_state(progress)
        trainer.counters.update = counters.update  # the first host's, which another one may have no checkpoint of
        if isinstance(learner, hosts.JointLearner):
            hosts.train_together(trainer, learner, watched, stop)
        else:
            trainer.run(watched, stop)
        checkpoints.wait()
    print(f"done       {trainer.counters.step} steps, {trainer.counters.update} updates, checkpoint in {workdir}")
    print(f"evaluate   python -m avtd3_jax.evaluate --checkpoint {shlex.quote(str(workdir))}", flush=True)


def _evaluate(
    run: RunConfig,
    envs: EnvPool,
    workdir: Path,
    watched: WatchedEnvironments,
    page: Silence,
    policy: Policy,
    step: int,
) -> Mapping[str, Any]:
    """Drives the policy, writes a report, and returns the means of its metrics."""
    # They bring the client of a simulator, which a command's start should not wait for.
    from avtd3_jax.evaluation.episodes import always, evaluate
    from avtd3_jax.evaluation.report import NETWORK, headline, recordings_of, report, result_path

    env = envs.evaluation_env()
    told: dict[str, Any] = {
        "policy": NETWORK,
        "step": step,
        "seed": run.seed,
        "env": run.env,
        "simulator": simulator_of(envs.description),
    }
    recordings = recordings_of(workdir, **told)

    def on_step(env: gym.Env, action: np.ndarray, info: Mapping[str, Any]) -> None:
        watched.evaluated(info)

    drives = evaluate(env, run.env, always(policy), run.eval_episodes, run.seed, on_step, recordings=recordings)
    episodes = list(drives)
    result = report(episodes, run=workdir.name, **told)
    try:
        write_json(result_path(workdir, result), result)
    except OSError as error:
        lost = f"warning: the report of this evaluation is not written ({error}); its means are in the log."
        tqdm.write(lost, file=sys.stderr)
        page.event(lost)
    means = {name: value["mean"] for name, value in result["summary"].items()}
    found = f"evaluation at step {step}: {headline(means, len(episodes))}"
    tqdm.write(found)
    page.event(found)
    return {"episodes": len(episodes), **means}


def _check_resumable(values: Mapping[str, Any], checkpoints: Checkpoints, workdir: Path) -> None:
    """Raises CheckpointError or ConfigError where the run in `workdir` cannot go on with `values`."""
    begun = workdir / "config.json"
    if not begun.exists():
        raise CheckpointError(f"--resume: {workdir} holds no run, and no checkpoint: leave --resume out to begin one.")
    if not checkpoints.steps():
        print(f"resume     {workdir} has no checkpoint yet, its run begins anew", flush=True)
    if changed := changed_keys(json.loads(begun.read_text()), to_json(values)):
        differing = ", ".join(f"config.{key} (was {was!r}, now {now!r})" for key, (was, now) in changed.items())
        raise ConfigError(
            f"--resume: {differing} differ from the run in {workdir}: give the same values, or start another run."
        )
