"""python -m avtd3_jax.evaluate --checkpoint runs/NAME: drives a policy without noise and measures it.

Either the trained policy, or a scripted one (--policy follower, blind-follower or random) that drives the very
same episodes.
"""

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from absl import logging

from avtd3_jax import runtime
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3, Params
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.console import Progress, reader_gone
from avtd3_jax.errors import CheckpointError, ConfigError, RuntimeSetupError
from avtd3_jax.seeding import RunStream, episode_seed
from avtd3_jax.settings.config_file import load, split_options
from avtd3_jax.settings.run_config import RunConfig, parse_saved
from avtd3_jax.training.logs import write_json
from envloop.baselines.policies import SCRIPTED, Policy, PolicyMaker
from envloop.client.traffic import Npc
from envloop.config import EnvConfig
from envloop.drawing.birdseye import BirdsEye, box_corners, lane_polygons, thin_track
from envloop.drawing.video import VideoWriter, check_video_path, compose
from envloop.env import CarlaEnv, action_space, observation_space
from envloop.errors import SimulatorError
from envloop.suites import Suite, load_suite, suite_names, suite_route
from envloop.task.episode import RouteTask
from envloop.task.metrics import summarise

StepHook = Callable[[CarlaEnv, np.ndarray, Mapping[str, Any]], None]
Metrics = dict[str, Any]

EXPECTED = (CheckpointError, ConfigError, SimulatorError, RuntimeSetupError, ValueError, OSError)
NETWORK = "network"
_EPISODES = 10  # where there is no suite, each of whose routes is driven once
_LOST_LIMIT = 3  # times that one episode is begun again after its simulator died
_VIEW_PIXELS, _VIEW_METRES = 432, 60.0
_EGO_HALF_SIZE = (2.4, 0.95)  # m, a Tesla Model 3's


def drive(
    env: CarlaEnv, make_policy: PolicyMaker, seed: int, on_step: StepHook | None = None, route: str | None = None
) -> Metrics:
    """One episode from the beginning of `route` (None: the environment's own), at rest; its metrics.

    An episode is a pure function of its seed, so one whose simulator dies is driven again from its beginning.

    Raises:
      SimulatorError: the simulator died in every attempt.
    """
    for attempt in range(_LOST_LIMIT):
        try:
            return _drive_once(env, make_policy, seed, on_step, route)
        except SimulatorError:
            if attempt == _LOST_LIMIT - 1:
                raise
    raise AssertionError("unreachable")


def _drive_once(
    env: CarlaEnv, make_policy: PolicyMaker, seed: int, on_step: StepHook | None, route: str | None
) -> Metrics:
    options = {"start": "beginning"} if route is None else {"start": "beginning", "route": route}
    obs, info = env.reset(seed=seed, options=options)
    policy = make_policy(env, seed)
    track = [(info["ego"]["x"], info["ego"]["y"])]
    while True:
        action = policy(obs)
        obs, _, terminated, truncated, info = env.step(action)
        track.append((info["ego"]["x"], info["ego"]["y"]))
        if on_step is not None:
            on_step(env, action, info)
        if terminated or truncated:
            return {"seed": seed, **info["episode_metrics"], "track": thin_track(track)}


def evaluate(
    env: CarlaEnv,
    make_policy: PolicyMaker,
    episodes: int,
    seed: int,
    on_step: StepHook | None = None,
    suite: Suite | None = None,
) -> Iterator[Metrics]:
    """Yields the metrics of `episodes` evaluation episodes of the run seed `seed`, none of which training ever saw.

    With a suite, of as many on each of its routes, in rounds. The i-th episode is the same for every policy.
    """
    routes: Sequence[str | None] = [None] if suite is None else suite.route_names()
    for i in range(episodes * len(routes)):
        yield drive(env, make_policy, episode_seed(seed, RunStream.EVALUATION, i), on_step, routes[i % len(routes)])


def report(
    episodes: Sequence[Metrics],
    *,
    policy: str,
    run: str | None,
    step: int | None,
    seed: int,
    env: EnvConfig,
    simulator: Mapping[str, Any],
    suite: Suite | None = None,
) -> dict[str, Any]:
    """The content of an evaluation file: who drove what where, every episode, and the summary with 95 % intervals.

    Args:
      policy: "network", or the name of a scripted one.
      run, step: name of the run and environment step that the network comes from; None for a scripted policy.
      suite: what was driven; None for the route of `env`.
    """
    return {
        "policy": policy,
        "run": run,
        "step": step,
        "seed": seed,
        "suite": suite.name if suite else None,
        "route": None if suite else env.route,
        "scenario": env.scenario,
        "simulator": dict(simulator),
        "episodes": list(episodes),
        "routes": _by_route(episodes),
        "summary": {name: dataclasses.asdict(value) for name, value in summarise(episodes).items()},
    }


def _by_route(episodes: Sequence[Metrics]) -> list[dict[str, Any]]:
    """One row for every route that was driven, in the order of the first drives; `kind` of a suite's routes alone."""
    rows = []
    for route in dict.fromkeys(episode["route"] for episode in episodes):
        driven = [episode for episode in episodes if episode["route"] == route]
        rows.append(
            {
                "route": route,
                "kind": suite_route(route)[1].kind if "/" in route else None,
                "length_m": driven[0]["route_m"],
                "episodes": len(driven),
                "successes": sum(episode["success"] for episode in driven),
                "route_completion": float(np.mean([episode["route_completion"] for episode in driven])),
                "reasons": sorted({episode["reason"] for episode in driven}),
            }
        )
    return rows


def table(result: Mapping[str, Any]) -> str:
    """A report as text: a row for each route of a suite, then mean and 95 % interval of every metric.

    The intervals are over the episodes that this policy drove; of another training with another seed they say nothing.
    """
    lines = []
    if result["suite"]:
        lines += [f"{'route':<18}{'kind':<10}{'length':>8}{'success':>9}{'completion':>12}   ended by"]
        for row in result["routes"]:
            success = f"{row['successes']}/{row['episodes']}"
            lines.append(
                f"{row['route']:<18}{row['kind']:<10}{row['length_m']:>6.0f} m{success:>9}"
                f"{row['route_completion']:>12.0%}   {', '.join(row['reasons'])}"
            )
        lines.append("")
    lines.append(f"{'metric':<32}{'mean':>12}   95 % interval over this policy's {len(result['episodes'])} episodes")
    for name, value in result["summary"].items():
        interval = "" if value["low"] is None else f"{value['low']:.3f} .. {value['high']:.3f}"
        lines.append(f"{name:<32}{value['mean']:>12.3f}   {interval}")
    return "\n".join(lines)


def task_name(driver: str, route: str, scenario: str, seed: int, simulator: str) -> str:
    """A file's name without its ending: a drive of another policy, task or simulator has another one."""
    route = re.sub(r"[^A-Za-z0-9.-]+", "_", route)
    return f"{driver}_{route}_scenario-{scenario}_seed-{seed}_{simulator.replace(' ', '-')}"


def result_path(workdir: Path, result: Mapping[str, Any]) -> Path:
    """Where a report is written."""
    driver = f"step-{result['step']:07d}" if result["policy"] == NETWORK else result["policy"]
    simulator = str(result["simulator"]["simulator"])
    name = task_name(driver, result["suite"] or result["route"], result["scenario"], result["seed"], simulator)
    return workdir / "evaluations" / f"{name}.json"


class Scene:
    """Draws one video frame a step: camera, view from above, numbers."""

    def __init__(self) -> None:
        self._birdseye: BirdsEye | None = None

    def __call__(
        self, env: CarlaEnv, action: np.ndarray, info: Mapping[str, Any], numbers: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """uint8 RGB [432, W, 3]; `numbers` are written in addition to the drive's own."""
        if self._birdseye is None:
            self._birdseye = BirdsEye(lane_polygons(env.simulator.map), env.route_task.route.points[:, :2])
        ego = info["ego"]
        pose = (ego["x"], ego["y"], ego["yaw_deg"])
        boxes = [box_corners(*pose, *_EGO_HALF_SIZE), *(_npc_outline(npc) for npc in env.npcs)]
        written = {
            "speed km/h": 3.6 * ego["speed_mps"],
            "steer": float(action[0]),
            "throttle" if action[1] > 0 else "brake": abs(float(action[1])),
            "lateral m": ego["lateral_m"],
            "route": f"{info['route_completion']:.0%}",
            **(numbers or {}),
            "": info["reason"] or "",
        }
        camera = env.render()
        assert camera is not None
        return compose(camera, self._birdseye.window(pose, boxes, _VIEW_PIXELS, _VIEW_METRES), written)


class Recorder:
    """Writes a scene a step to a video."""

    def __init__(self, video: VideoWriter) -> None:
        self._video = video
        self._scene = Scene()
        self._route_task: RouteTask | None = None

    def __call__(self, env: CarlaEnv, action: np.ndarray, info: Mapping[str, Any]) -> None:
        if env.route_task is not self._route_task:  # another route to draw
            self._scene, self._route_task = Scene(), env.route_task
        self._video.add(self._scene(env, action, info))


def _npc_outline(npc: Npc) -> np.ndarray:
    return box_corners(*npc.pose(), npc.half_length_m, _EGO_HALF_SIZE[1])


@dataclasses.dataclass(frozen=True)
class Network:
    """A checkpoint's policy; `step` is the environment step that it was saved at."""

    learner: TD3
    params: Params
    step: int

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """The action [2], without noise."""
        return self.learner.act(self.params, obs)


@dataclasses.dataclass(frozen=True)
class Opened:
    """A policy, and the world that it is to drive in.

    run: the run's configuration, with what the command line sets otherwise.
    seed: of the episodes.
    network: None where a scripted policy drives.
    simulator: `Simulator.identity()`.
    """

    run: RunConfig
    seed: int
    env: CarlaEnv
    make_policy: PolicyMaker
    network: Network | None
    simulator: Mapping[str, Any]


@contextmanager
def opened(args: argparse.Namespace, *, render: bool, suite: Suite | None = None) -> Iterator[Opened]:
    """Opens what the command line names, and says what runs where; the environment is closed afterwards.

    Args:
      args: `checkpoint`, `config` and its `changes`, `policy`, `route`, and the options of `add_shared_options`.

    Raises:
      One of `EXPECTED`, with one plain sentence.
    """
    logging.set_verbosity(logging.ERROR)  # orbax warns of older checkpoints that they do not say where they were
    with ExitStack() as stack:
        checkpoints = None
        if args.checkpoint is not None:
            checkpoints = stack.enter_context(Checkpoints(args.checkpoint / "checkpoints", read_only=True))
        told = parse_saved(checkpoints.extras(args.step)["config"]) if checkpoints else load(args.config, args.changes)
        run = _overridden(told, args, suite)
        seed = run.seed if args.seed is None else args.seed
        network, driver = None, args.policy
        if args.policy == NETWORK:
            assert checkpoints is not None
            device = runtime.setup(args.device).device
            network = _network(run, checkpoints, args.step)
            driver = f"{NETWORK} of {args.checkpoint} at step {network.step}, on {device}"
        env = CarlaEnv(run.driving, render_mode="rgb_array" if render else None)
        stack.callback(env.close)
        simulator = env.simulator.identity()
        print(f"policy     {driver}")
        print(f"simulator  {simulator['simulator']} at {simulator['host']}, {simulator['map']}")
        task = f"suite {suite.name}" if suite else env.task
        print(f"task       {task}, scenario {run.driving.scenario}, seed {seed}", flush=True)
        make_policy = always(network.act) if network else SCRIPTED[args.policy]
        yield Opened(run, seed, env, make_policy, network, simulator)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    try:
        rest, changes = split_options(sys.argv[1:] if argv is None else argv)
        args = _parser().parse_args(rest, argparse.Namespace(changes=changes))
        if changes and args.config is None:
            raise ConfigError(
                f"--config.{next(iter(changes))} belongs to --config FILE: a checkpoint has its own task."
            )
        return _main(args)
    except BrokenPipeError:
        return reader_gone()
    except EXPECTED as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("evaluate: interrupted; nothing was written.", file=sys.stderr)
        return 130


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """What every command that drives a checkpoint can be told."""
    parser.add_argument("--step", type=int, help="which checkpoint (default: the last one)")
    parser.add_argument("--seed", type=int, help="of the evaluation episodes (default: the run's)")
    parser.add_argument("--scenario", help="empty, 0, 1 or 2: 0, 20, 50, 100 NPC vehicles (default: as trained)")
    parser.add_argument("--sim.endpoint", dest="endpoint", help="embedded, or HOST:PORT (default: as trained)")
    parser.add_argument("--sim.xodr", dest="xodr", help="an OpenDRIVE file to drive on (default: as trained)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "gpu"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m avtd3_jax.evaluate", description=(__doc__ or "").split("\n")[0])
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--checkpoint", type=Path, help="directory of a training run, runs/NAME: its policy and its task")
    task.add_argument(
        "--config",
        type=Path,
        help="a configuration file: its task, for a scripted policy; set any key by --config.KEY=VALUE",
    )
    parser.add_argument(
        "--policy", default=NETWORK, choices=(NETWORK, *SCRIPTED), help="who drives (default: %(default)s)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--suite", choices=suite_names(), help="drive each route of a suite, in the suite's town")
    where.add_argument("--route", help="a route's name or 'X,Y -> X,Y' in metres (default: as trained)")
    parser.add_argument("--episodes", type=int, help=f"default {_EPISODES}; with --suite, on each route: default 1")
    add_shared_options(parser)
    parser.add_argument(
        "--workdir", type=Path, help="the JSON goes to its evaluations/ (default: the checkpoint's run)"
    )
    parser.add_argument("--video", type=Path, help="write the drive to this .mp4")
    return parser


def _main(args: argparse.Namespace) -> int:
    workdir = _checked(args)
    suite = load_suite(args.suite) if args.suite else None
    with opened(args, render=args.video is not None, suite=suite) as opening, ExitStack() as stack:
        run, network = opening.run, opening.network
        video = stack.enter_context(VideoWriter(args.video, fps=1.0 / run.driving.decision_s)) if args.video else None
        episodes = args.episodes or (1 if suite else _EPISODES)
        on_step = Recorder(video) if video else None
        drives = evaluate(opening.env, opening.make_policy, episodes, opening.seed, on_step, suite)
        total = episodes * (len(suite.routes) if suite else 1)
        driven = list(Progress(drives, total=total, unit="episode"))
    result = report(
        driven,
        policy=args.policy,
        run=args.checkpoint.resolve().name if network else None,
        step=network.step if network else None,
        seed=opening.seed,
        env=run.driving,
        simulator=opening.simulator,
        suite=suite,
    )
    path = result_path(workdir, result)
    write_json(path, result)
    print(table(result))
    print(f"written to {path}" + (f" and {args.video}" if args.video else ""), flush=True)
    return 0


def _checked(args: argparse.Namespace) -> Path:
    """Refuses what cannot be driven before anything starts; the directory for the result."""
    if args.episodes is not None and args.episodes < 1:
        raise ValueError(f"--episodes is {args.episodes}: drive at least 1.")
    if args.policy == NETWORK and args.checkpoint is None:
        raise ValueError("--policy network needs the run that it was trained in: give --checkpoint runs/NAME.")
    if args.video is not None:
        check_video_path(args.video)
    workdir = args.workdir or args.checkpoint
    if workdir is None:
        raise ValueError("--config needs --workdir: the directory for the result.")
    return Path(workdir)


def _network(run: RunConfig, checkpoints: Checkpoints, step: int | None) -> Network:
    # What the run began with is in the checkpoint; the file need not be there any more.
    agent = dataclasses.replace(run.agent, encoder_weights="")
    learner = TD3(ObsSpec.from_space(observation_space(run.driving)), ActionSpec.from_space(action_space()), agent)
    found, params, _ = checkpoints.restore_params(learner.init(run.seed).params, step)
    return Network(learner, params, found)


def always(policy: Policy) -> PolicyMaker:
    """The same policy in every episode, for one without memory."""
    return lambda env, seed: policy


def _overridden(run: RunConfig, args: argparse.Namespace, suite: Suite | None) -> RunConfig:
    """The run's configuration with what the command line sets otherwise."""
    simulator = {name: value for name in ("endpoint", "xodr") if (value := getattr(args, name)) is not None}
    env = {name: value for name in ("scenario", "route") if (value := getattr(args, name)) is not None}
    if suite is not None:
        simulator["town"] = suite.town
        env["route"] = suite.route_names()[0]
    (first, *_) = cast(tuple[EnvConfig, ...], run.environments())
    changed = dataclasses.replace(first, simulator=dataclasses.replace(first.simulator, **simulator), **env)
    changed.validate()
    return dataclasses.replace(run, env=changed)


if __name__ == "__main__":
    sys.exit(main())
