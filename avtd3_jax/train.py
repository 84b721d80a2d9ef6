"""python -m avtd3_jax.train --config configs/town01.py: trains a policy to drive."""

import dataclasses
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from avtd3_jax.commands import run_command
from avtd3_jax.errors import ConfigError
from avtd3_jax.monitor.station import NOBODY, Silence, live_page
from avtd3_jax.settings.config_file import load, split_options
from avtd3_jax.settings.run_config import RunConfig, file_values, parse
from avtd3_jax.training.host_process import watched
from avtd3_jax.training.phases import PhaseTimer
from avtd3_jax.training.run_directory import new_directory
from avtd3_jax.training.stop_signal import StopSignal
from envloop.make import AnyEnvConfig
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

    Raises: as `session.learn`.
    """
    began = time.perf_counter()
    run = parse(values)
    if run.hosts.number:
        run = dataclasses.replace(run, eval_every=0)
    with ExitStack() as stack:
        timer = PhaseTimer()
        kind, publish = stack.enter_context(_cluster(run))
        opening = stack.enter_context(_opening(run, timer, kind))  # first: a simulator's start takes longest
        # JAX and Flax come while the simulator starts.
        from avtd3_jax.session import learn

        learn(
            run,
            values,
            workdir,
            opening,
            resume=resume,
            stop=stop,
            page=page,
            timer=timer,
            began=began,
            publish=publish,
        )


Publish = Callable[[Any], Any]


@contextmanager
def _cluster(run: RunConfig) -> Iterator[tuple[Callable[[AnyEnvConfig], Backend] | None, Publish | None]]:
    """What makes environments on a Ray cluster, where the configuration asks for it; and, where these act for
    themselves, what puts parameters where they can read them."""
    if run.fleet.backend == "processes":
        yield None, None
        return
    from avtd3_jax.policies.handed_over import HandedOver
    from envloop.workers.ray_cluster import RayCluster
    from envloop.workers.ray_env import RayFleet

    with closing(RayCluster(run.fleet, run.num_envs)) as cluster:
        if not run.fleet.acts_apart:
            print(f"fleet      {run.num_envs} environments on Ray at {cluster}", flush=True)
            yield RayFleet(run.fleet, cluster), None
            return
        lag = f"act for themselves, at most {run.fleet.max_lag_updates} updates old"
        print(f"fleet      {run.num_envs} environments on Ray at {cluster}, which {lag}", flush=True)
        policy = HandedOver(run.algorithm, run.agent, run.exploration, run.world_seed)
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
        if run.hosts.count > 1 and (code := watched("train")) is not None:
            return code
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
