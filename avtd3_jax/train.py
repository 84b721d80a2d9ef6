"""python -m avtd3_jax.train --config configs/town01.py: trains a policy to drive."""

import fcntl
import itertools
import json
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, cast

import jax.numpy as jnp
from absl import app, flags, logging
from tqdm import tqdm

from avtd3_jax import evaluate, runtime
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3
from avtd3_jax.analysis.profiling import ProfileWindow
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.console import reader_gone
from avtd3_jax.cpu.code.emitter import registers
from avtd3_jax.encoders import image_encoder
from avtd3_jax.encoders.conv_stack import ConvStack
from avtd3_jax.errors import CheckpointError, ConfigError, NonFiniteError, RuntimeSetupError
from avtd3_jax.replay.device_replay import DeviceReplay
from avtd3_jax.replay.prefetch import Prefetcher
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.settings.config_file import load, split_options
from avtd3_jax.settings.run_config import RunConfig, changed_keys, file_values, parse
from avtd3_jax.training.batched_policy import Policy
from avtd3_jax.training.learner_loop import Introspection, LearnerLoop
from avtd3_jax.training.logs import PhaseTimer, RunLog, to_json, write_json
from avtd3_jax.training.monitors import Monitors
from avtd3_jax.training.trainer import Counters, Trainer
from envloop.config import EnvConfig
from envloop.env import CarlaEnv, action_space, observation_space
from envloop.errors import SimulatorError
from envloop.rollout import TornEpisode
from envloop.world import World, open_world

_CONFIG = flags.DEFINE_string(
    "config",
    None,
    "Configuration file, or a run's config.json; set any key: --config.KEY=VALUE (docs/configuration.md).",
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run (default: runs/CONFIG-DATE-TIME).")
_RESUME = flags.DEFINE_bool("resume", False, "Go on from the last checkpoint in --workdir.")

_EXPECTED = (
    ConfigError,
    CheckpointError,
    SimulatorError,
    NonFiniteError,
    RuntimeSetupError,
    ValueError,
    OSError,
)


class StopSignal:
    """Remembers the first SIGINT or SIGTERM, so that the run can end in order; a second one ends it at once."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def __call__(self) -> bool:
        return self.received is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        tqdm.write(
            f"{self.received.name}: finishing this step, then ending. Once more to stop at once.", file=sys.stderr
        )


def train(values: Mapping[str, Any], workdir: Path, *, resume: bool, stop: StopSignal) -> None:
    """Trains as the configuration `values` says, in `workdir`.

    Raises:
      ConfigError, CheckpointError, SimulatorError, NonFiniteError, ValueError: with one plain sentence.
    """
    began = time.perf_counter()
    run = parse(values)
    values = file_values(run)
    info = runtime.setup(run.device)
    with ExitStack() as stack:
        stack.enter_context(_locked(workdir, resume))
        checkpoints = stack.enter_context(Checkpoints(workdir / "checkpoints", keep=run.checkpoints_kept))
        if resume:
            _check_resumable(values, checkpoints, workdir)
        timer = PhaseTimer()
        opening = stack.enter_context(_opening(run, timer))
        spec = ObsSpec.from_space(observation_space(run.driving)), ActionSpec.from_space(action_space())
        learner = TD3(*spec, run.agent)
        replay = FrameReplay(
            *spec,
            run.replay.capacity,
            run.num_envs,
            seed=run.seed,
            n_step=run.replay.n_step,
            gather_threads=run.replay.gather_threads,
        )
        source = DeviceReplay(replay) if run.replay.device_resident else replay
        state = learner.init(run.seed)
        introspection = Introspection(learner, learner.init(run.seed).params) if run.debug else None
        progress: dict[str, Any] = {}
        counters = Counters()
        if resume and checkpoints.steps():
            _, state, progress = checkpoints.restore(state, replay)
            counters = Counters(**progress["counters"])
        earlier_s = counters.wall_s
        batches = Prefetcher(lambda: source.sample(run.batch_size), run.replay.prefetch)
        loop = LearnerLoop(learner, state, batches, timer, run.updates_per_dispatch, run.overlap)
        stack.callback(loop.close)
        if run.exploration_steps < run.total_steps:
            loop.prepare(run.batch_size, run.num_envs, run.replay.n_step)
        world = opening.result()
        identity = world.identity
        write_json(workdir / "config.json", values)
        _print_header(run, world, learner, state, replay, info, workdir, counters)
        write_json(workdir / "provenance.json", {"simulator": identity, "device": _device(info)})
        log = RunLog(workdir, resume_step=counters.step if resume else None, evaluated_at=counters.evaluated_at)
        stack.callback(log.close)
        profile = ProfileWindow(workdir / "profile", tqdm.write) if run.profile else None
        if profile:
            stack.callback(profile.close)

        def evaluation(policy: Policy, step: int) -> Mapping[str, Any]:
            env = cast(CarlaEnv, world.evaluation_env())  # resets and steps as one
            episodes = list(evaluate.evaluate(env, evaluate.always(policy), run.eval_episodes, run.seed))
            result = evaluate.report(
                episodes,
                policy=evaluate.NETWORK,
                run=workdir.name,
                step=step,
                seed=run.seed,
                env=run.driving,
                simulator=identity,
            )
            try:
                write_json(evaluate.result_path(workdir, result), result)
            except OSError as error:
                _report_wrong(f"the report of this evaluation is not written ({error}); its means are in the log.")
            means = {name: value["mean"] for name, value in result["summary"].items()}
            tqdm.write(
                f"evaluation at step {step}: success {means['success']:.0%} of {len(episodes)}, "
                f"route completion {means['route_completion']:.0%}, return {means['return']:.1f}"
            )
            return {"episodes": len(episodes), **means}

        trainer = Trainer(
            schedule=run,
            exploration=run.exploration,
            seed=run.seed,
            loop=loop,
            replay=replay,
            log=log,
            checkpoints=checkpoints,
            timer=timer,
            evaluate=evaluation,
            description={"config": to_json(values), "simulator": identity},
            monitors=Monitors(run.warn_window, run.agent.gamma, ("steer", "accel"), _report_wrong),
            clock=lambda: earlier_s + time.perf_counter() - began,
            introspection=introspection,
            profile=profile,
        )
        if progress:
            trainer.set_state(progress)
        trainer.run(world.transitions(trainer, counters.episode, stop), stop)
        checkpoints.wait()
    print(f"done       {trainer.counters.step} steps, {trainer.counters.update} updates, checkpoint in {workdir}")
    print(f"evaluate   python -m avtd3_jax.evaluate --checkpoint {shlex.quote(str(workdir))}", flush=True)


@contextmanager
def _opening(run: RunConfig, timer: PhaseTimer) -> Iterator[Future[World]]:
    """The world, being opened on a thread of its own: simulators start while the learner compiles."""
    tasks = cast(tuple[EnvConfig, ...], run.environments())
    with ThreadPoolExecutor(1, thread_name_prefix="world") as executor:
        opening = executor.submit(open_world, tasks, timer, _report_lost, _report_torn)
        try:
            yield opening
        finally:
            with suppress(Exception):  # what it raised has been seen by whoever asked for the world
                opening.result().close()


def _report_lost(environment: int, error: str) -> None:
    tqdm.write(f"environment {environment} is lost and started again, the others go on ({error})", file=sys.stderr)


def _report_wrong(sentence: str) -> None:
    tqdm.write(f"warning: {sentence}", file=sys.stderr)


def _report_torn(torn: TornEpisode) -> None:
    tqdm.write(
        f"episode {torn.episode} lost its simulator after {torn.steps} steps, which are kept; back after "
        f"{torn.recovery_s:.1f} s ({torn.error})",
        file=sys.stderr,
    )


def _print_header(
    run: RunConfig,
    world: World,
    learner: TD3,
    state: Any,
    replay: FrameReplay,
    info: runtime.RuntimeInfo,
    workdir: Path,
    counters: Counters,
) -> None:
    identity = world.identity
    hosts = ", ".join(identity.get("hosts", [identity["host"]]))
    embedded = " (started here: no CARLA endpoint was given)" if run.driving.simulator.endpoint == "embedded" else ""
    groups = learner.group_summary(state.params)
    memory = FrameReplay.bytes_at_capacity(learner.obs_spec, learner.action_spec, replay.capacity)
    on_device = DeviceReplay.bytes_of(replay) if run.replay.device_resident else 0
    rows = {
        "simulator": f"{identity['simulator']} at {hosts}, {identity['map']}{embedded}",
        "task": f"{world.task}, scenario {run.driving.scenario}",
        "device": str(info),
        "observes": " and ".join(name for name in ("image", "vector") if getattr(learner.obs_spec, name)),
        "encoder": _encoder(learner),
        "parameters": ", ".join(f"{name} {count:,} (lr {rate:g})" for name, (count, rate) in groups.items()),
        "replay": f"{replay.capacity:,} transitions, {memory / 1e9:.2f} GB when full"
        + (f", and its frames on the device, {on_device / 1e9:.2f} GB" if on_device else ""),
        "run": f"{workdir}, seed {run.seed}, step {counters.step:,} of {run.total_steps:,}",
    }
    for name, text in rows.items():
        print(f"{name:<11}{text}", flush=True)
    if run.exploration_steps >= run.total_steps:
        warnings.warn(
            f"exploration_steps is {run.exploration_steps} and total_steps {run.total_steps}: this run collects and "
            "learns nothing; lower --config.exploration_steps.",
            stacklevel=2,
        )


def _encoder(learner: TD3) -> str:
    if learner.obs_spec.image is None:
        return "none: the vector is used as it is"
    agent = learner.config
    losses = "the critic's and the actor's loss" if agent.encoder_grad == "both" else "the critic's loss"
    weights = f" with the weights of {agent.encoder_weights}" if agent.encoder_weights else ""
    module = image_encoder(agent.encoder).module(dtype=jnp.dtype(agent.compute_dtype))
    own = isinstance(module, ConvStack) and module.has_own_kernels(learner.obs_spec.image)
    convolutions = f"own CPU convolutions ({registers().bits}-bit vectors)" if own else "XLA's convolutions"
    return f"{agent.encoder}{weights}, trained by {losses}, {convolutions}"


def _device(info: runtime.RuntimeInfo) -> dict[str, str]:
    """What computes, and how; the compile cache's place is this machine's own business."""
    return {
        "device": info.device,
        "kind": info.device_kind,
        "jax": info.jax_version,
        "jaxlib": info.jaxlib_version,
        "xla_flags": info.xla_flags,
    }


def _check_resumable(values: Mapping[str, Any], checkpoints: Checkpoints, workdir: Path) -> None:
    """Raises CheckpointError or ConfigError where the run in `workdir` cannot go on with `values`."""
    begun = workdir / "config.json"
    if not begun.exists():
        raise CheckpointError(f"--resume: {workdir} holds no run, and no checkpoint: leave --resume out to begin one.")
    if not checkpoints.steps():
        print(f"resume     {workdir} has no checkpoint yet, its run begins anew", flush=True)
    if changed := changed_keys(json.loads(begun.read_text()), to_json(values)):
        raise ConfigError(
            f"--resume: {', '.join(f'config.{key}' for key in changed)} differ from the run in {workdir}: give "
            "the same values, or start another run."
        )


class _locked:  # noqa: N801 (a context manager, used as a function)
    """Holds the run directory for this process alone, and refuses one that another run has written."""

    def __init__(self, workdir: Path, resume: bool) -> None:
        workdir.mkdir(parents=True, exist_ok=True)
        self._file = (workdir / ".lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise ConfigError(f"{workdir} is in use by another training process: give another --workdir.") from error
        if not resume and (workdir / "config.json").exists():
            self._file.close()
            raise ConfigError(
                f"{workdir} holds a run already: add --resume to go on with it, or give another --workdir."
            )

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _new_directory(name: str) -> Path:
    """Makes a run directory of its own for each of those that begin in one second."""
    begun = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in itertools.count(1):
        path = Path("runs") / (begun if number == 1 else f"{begun}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise AssertionError("unreachable")


def _main(argv: list[str], changes: Mapping[str, str]) -> int:
    logging.set_verbosity(logging.WARNING)  # jax tells which accelerators there are not otherwise
    if len(argv) > 1:
        raise app.UsageError(f"Unknown argument {argv[1]!r}: options begin with --.")
    if _CONFIG.value is None:
        raise app.UsageError("--config is missing: for example --config configs/town01.py")
    if _RESUME.value and _WORKDIR.value is None:
        raise app.UsageError("--resume needs --workdir: the directory of the run to go on with.")
    stop = StopSignal()
    config = Path(_CONFIG.value).expanduser()
    try:
        run = load(config, changes)  # a run that cannot be leaves no directory
        workdir = Path(_WORKDIR.value).expanduser() if _WORKDIR.value else _new_directory(config.stem)
        train(file_values(run), workdir, resume=_RESUME.value, stop=stop)
    except BrokenPipeError:
        return reader_gone()
    except _EXPECTED as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train: stopped at once; --resume goes on from the newest checkpoint there is.", file=sys.stderr)
        return 130
    if stop.received is not None:
        print(
            f"train: {stop.received.name}: saved up to the last whole episode; go on with --resume --workdir "
            f"{shlex.quote(str(workdir))}",
            file=sys.stderr,
        )
        return 128 + stop.received
    return 0


def main() -> None:
    """The command."""
    changes: dict[str, str] = {}

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
