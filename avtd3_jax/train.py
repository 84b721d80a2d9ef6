"""python -m avtd3_jax.train --config configs/town01.py: trains a policy to drive."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from absl import app, flags, logging
from tqdm import tqdm

from avtd3_jax import runtime
from avtd3_jax.agent.placement import place
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.commands import OWN_ERRORS, run_command
from avtd3_jax.errors import CheckpointError, ConfigError
from avtd3_jax.monitor.station import NOBODY, Silence, live_page
from avtd3_jax.monitor.watched import WatchedEnvironments
from avtd3_jax.policies.handed_over import HandedOver
from avtd3_jax.settings.config_file import load, split_options
from avtd3_jax.settings.run_config import RunConfig, changed_keys, file_values, parse
from avtd3_jax.training.build import build_learner, build_parts, build_trainer
from avtd3_jax.training.header import device_record, print_header, simulator_name
from avtd3_jax.training.logs import PhaseTimer, RunLog, to_json, write_json
from avtd3_jax.training.provenance import machine_record, source_record
from avtd3_jax.training.run_directory import held, new_directory, tracebacks_kept, writing
from avtd3_jax.training.stop_signal import StopSignal
from avtd3_jax.training.trainer import Counters, Policy
from envloop.make import AnyEnvConfig, simulator_of, spaces_of
from envloop.workers.backend import Backend
from envloop.workers.pool import EnvPool

_CONFIG = flags.DEFINE_string(
    "config",
    None,
    "Configuration file, or a run's config.json; set any key: --config.KEY=VALUE (docs/configuration.md).",
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run (default: runs/CONFIG-DATE-TIME).")
_RESUME = flags.DEFINE_bool("resume", False, "Go on from the last checkpoint in --workdir.")


def train(values: Mapping[str, Any], workdir: Path, *, resume: bool, stop: StopSignal, page: Silence = NOBODY) -> None:
    """Trains as the configuration `values` says, in `workdir`; `page` is told of it.

    Raises:
      Avtd3Error, EnvLoopError: in one plain sentence, what is wrong. The traceback of any other error is left in the
        run's directory as well; the run is saved in either case.
    """
    began = time.perf_counter()
    run = parse(values)
    with ExitStack() as stack:
        timer = PhaseTimer()
        kind, publish = stack.enter_context(_cluster(run))
        opening = stack.enter_context(_opening(run, timer, kind))  # first: a simulator's start takes longest
        info = runtime.setup(run.device, option="--config.device", several_devices=run.devices != "1")
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
        learner = build_learner(run, parts, timer, state)
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
        trainer.run(watched, stop)
        checkpoints.wait()
    print(f"done       {trainer.counters.step} steps, {trainer.counters.update} updates, checkpoint in {workdir}")
    print(f"evaluate   python -m avtd3_jax.evaluate --checkpoint {shlex.quote(str(workdir))}", flush=True)


Publish = Callable[[Any], Any]


@contextmanager
def _cluster(run: RunConfig) -> Iterator[tuple[Callable[[AnyEnvConfig], Backend] | None, Publish | None]]:
    """What makes environments on a Ray cluster, where the configuration asks for it; and, where these act for
    themselves, what puts parameters where they can read them."""
    if run.fleet.backend == "processes":
        yield None, None
        return
    from envloop.workers.ray_cluster import RayCluster
    from envloop.workers.ray_env import RayFleet

    with closing(RayCluster(run.fleet, run.num_envs)) as cluster:
        if not run.fleet.acts_apart:
            print(f"fleet      {run.num_envs} environments on Ray at {cluster}", flush=True)
            yield RayFleet(run.fleet, cluster), None
            return
        lag = f"act for themselves, at most {run.fleet.max_lag_updates} updates old"
        print(f"fleet      {run.num_envs} environments on Ray at {cluster}, which {lag}", flush=True)
        policy = HandedOver(run.algorithm, run.agent, run.exploration, run.seed)
        yield RayFleet(run.fleet, cluster, policy), cluster.publish


@contextmanager
def _opening(
    run: RunConfig, timer: PhaseTimer, kind: Callable[[AnyEnvConfig], Backend] | None
) -> Iterator[Future[EnvPool]]:
    """The environments, being opened on a thread of their own: simulators start while the learner compiles."""
    with ThreadPoolExecutor(1, thread_name_prefix="environments") as executor:
        opening = executor.submit(EnvPool, run.environments(), timer, kind)
        try:
            yield opening
        finally:
            if opening.exception() is None:  # what it raised has been seen by whoever asked for them
                opening.result().close()


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


def _main(argv: list[str], changes: Mapping[str, str | bool]) -> int:
    logging.set_verbosity(logging.WARNING)  # jax tells which accelerators there are not otherwise
    if len(argv) > 1:
        raise app.UsageError(f"Unknown argument {argv[1]!r}: options begin with --.")
    if _CONFIG.value is None:
        raise app.UsageError("--config is missing: for example --config configs/town01.py")
    if _WORKDIR.value == "":
        raise app.UsageError("--workdir is empty: name a directory, or leave it out.")
    if _RESUME.value and _WORKDIR.value is None:
        raise app.UsageError("--resume needs --workdir: the directory of the run to go on with.")
    stop, config = StopSignal(), Path(_CONFIG.value).expanduser()

    def work() -> int:
        run = load(config, changes)  # a run that cannot be leaves no directory
        with live_page(run.monitor) as page:
            workdir = Path(_WORKDIR.value).expanduser() if _WORKDIR.value else new_directory(config.stem)
            train(file_values(run), workdir, resume=_RESUME.value, stop=stop, page=page)
        if stop.received is None:
            return 0
        print(
            f"train: {stop.received.name}: saved up to the last whole episode; go on with --resume --workdir "
            f"{shlex.quote(str(workdir))}",
            file=sys.stderr,
        )
        return 128 + stop.received

    try:
        return run_command("train", work, "stopped at once; --resume goes on from the newest checkpoint there is.")
    finally:
        stop.release()


def main() -> None:
    """The command."""
    changes: dict[str, str | bool] = {}

    def parse_flags(argv: list[str]) -> list[str]:
        """absl's parsing, without the configuration's keys, and with one sentence for what cannot be parsed."""
        try:
            rest, found = split_options(argv)
            changes.update(found)
            return flags.FLAGS(rest)
        except (flags.Error, ConfigError) as error:
            sys.exit(f"train: {str(error).splitlines()[0]}")

    app.run(lambda argv: _main(argv, changes), flags_parser=parse_flags)


if __name__ == "__main__":
    main()
