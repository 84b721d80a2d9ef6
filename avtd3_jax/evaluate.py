"""python -m avtd3_jax.evaluate --checkpoint runs/NAME: drives a trained policy without noise and measures it."""

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from tqdm import tqdm

from avtd3_jax import runtime
from avtd3_jax.checkpoint import CheckpointError, Checkpoints
from avtd3_jax.config import ConfigError
from avtd3_jax.learner import Learner, Params
from avtd3_jax.logs import write_json
from avtd3_jax.run import RunConfig, parse
from avtd3_jax.seeding import EVALUATION, episode_seed
from avtd3_jax.spaces import ActionSpec, ObsSpec
from envloop.birdseye import BirdsEye, box_corners, lane_polygons
from envloop.config import EnvConfig
from envloop.env import CarlaEnv
from envloop.metrics import summarise
from envloop.simulator import SimulatorError
from envloop.traffic import Npc
from envloop.video import VideoWriter, check_video_path, compose

Policy = Callable[[dict[str, np.ndarray]], np.ndarray]
StepHook = Callable[[CarlaEnv, np.ndarray, Mapping[str, Any]], None]
Metrics = dict[str, Any]

EXPECTED = (CheckpointError, ConfigError, SimulatorError, runtime.RuntimeSetupError, ValueError, OSError)

_LOST_LIMIT = 3  # times that one episode is begun again after its simulator died
_VIEW_PIXELS, _VIEW_METRES = 432, 60.0
_EGO_HALF_SIZE = (2.4, 0.95)  # m, a Tesla Model 3's


def drive(env: CarlaEnv, policy: Policy, seed: int, on_step: StepHook | None = None) -> Metrics:
    """One episode from the route's beginning, at rest; its metrics.

    An episode is a pure function of its seed, so one whose simulator dies is driven again from its beginning.

    Raises:
      SimulatorError: the simulator died in every attempt.
    """
    for attempt in range(_LOST_LIMIT):
        try:
            return _drive_once(env, policy, seed, on_step)
        except SimulatorError:
            if attempt == _LOST_LIMIT - 1:
                raise
    raise AssertionError("unreachable")


def _drive_once(env: CarlaEnv, policy: Policy, seed: int, on_step: StepHook | None) -> Metrics:
    obs, _ = env.reset(seed=seed, options={"start": "beginning"})
    while True:
        action = policy(obs)
        obs, _, terminated, truncated, info = env.step(action)
        if on_step is not None:
            on_step(env, action, info)
        if terminated or truncated:
            return {"seed": seed, **info["episode"]}


def evaluate(
    env: CarlaEnv, policy: Policy, episodes: int, seed: int, on_step: StepHook | None = None
) -> Iterator[Metrics]:
    """Yields the metrics of `episodes` evaluation episodes of the run seed `seed`, none of which training ever saw."""
    for episode in range(episodes):
        yield drive(env, policy, episode_seed(seed, EVALUATION, episode), on_step)


def report(
    episodes: Sequence[Metrics], *, step: int, seed: int, env: EnvConfig, simulator: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of an evaluation file: what was driven where, every episode, and the summary with 95 % intervals."""
    return {
        "step": step,
        "seed": seed,
        "route": env.route,
        "scenario": env.scenario,
        "simulator": dict(simulator),
        "episodes": list(episodes),
        "summary": {name: dataclasses.asdict(value) for name, value in summarise(episodes).items()},
    }


def table(result: Mapping[str, Any]) -> str:
    """The summary of a report as text: mean and 95 % interval of every metric."""
    lines = [f"{'metric':<32}{'mean':>12}   95 % interval"]
    for name, value in result["summary"].items():
        interval = "" if value["low"] is None else f"{value['low']:.3f} .. {value['high']:.3f}"
        lines.append(f"{name:<32}{value['mean']:>12.3f}   {interval}")
    return "\n".join(lines)


def task_name(step: int, route: str, scenario: str, seed: int, simulator: str) -> str:
    """A file's name without its ending: a drive of another policy, task or simulator has another one."""
    route = re.sub(r"[^A-Za-z0-9.-]+", "_", route)
    return f"step-{step:07d}_{route}_scenario-{scenario}_seed-{seed}_{simulator.replace(' ', '-')}"


def result_path(workdir: Path, result: Mapping[str, Any]) -> Path:
    """Where a report is written."""
    simulator = str(result["simulator"]["simulator"])
    name = task_name(result["step"], result["route"], result["scenario"], result["seed"], simulator)
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
            self._birdseye = BirdsEye(lane_polygons(env.simulator.map), env.course.route.points[:, :2])
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

    def __call__(self, env: CarlaEnv, action: np.ndarray, info: Mapping[str, Any]) -> None:
        self._video.add(self._scene(env, action, info))


def _npc_outline(npc: Npc) -> np.ndarray:
    pose = npc.actor.get_transform()
    return box_corners(pose.location.x, pose.location.y, pose.rotation.yaw, npc.half_length_m, _EGO_HALF_SIZE[1])


@dataclasses.dataclass(frozen=True)
class Opened:
    """A checkpoint's policy, and the world that it is to drive in.

    run: the run's configuration, with what the command line sets otherwise.
    seed: of the episodes.
    step: the checkpoint's.
    simulator: `Simulator.identity()`.
    """

    run: RunConfig
    seed: int
    step: int
    env: CarlaEnv
    learner: Learner
    params: Params
    simulator: Mapping[str, Any]

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """The policy's action [2], without noise."""
        return self.learner.act(self.params, obs)


@contextmanager
def opened(args: argparse.Namespace, *, render: bool) -> Iterator[Opened]:
    """Opens what `policy_parser`'s options name, and says what runs where; the environment is closed afterwards.

    Raises:
      CheckpointError, ConfigError, SimulatorError, RuntimeSetupError, ValueError: with one plain sentence.
    """
    logging.set_verbosity(logging.ERROR)  # orbax warns that it opens a checkpoint read-only, as it was asked to
    info = runtime.setup(args.device)
    with Checkpoints(args.checkpoint / "checkpoints", read_only=True) as checkpoints, ExitStack() as stack:
        saved = checkpoints.extras(args.step)
        run = _overridden(parse(saved["config"]), args)
        seed = run.seed if args.seed is None else args.seed
        env = CarlaEnv(run.env, render_mode="rgb_array" if render else None)
        stack.callback(env.close)
        learner = Learner(
            ObsSpec.from_space(env.observation_space),
            ActionSpec.from_space(env.action_space),
            # What the run began with is in the checkpoint; the file need not be there any more.
            dataclasses.replace(run.agent, encoder_weights=""),
        )
        step, params, _ = checkpoints.restore_params(learner.init(run.seed).params, args.step)
        simulator = env.simulator.identity()
        print(f"policy     {args.checkpoint} at step {step}, on {info.device}")
        print(f"simulator  {simulator['simulator']} at {simulator['host']}, {simulator['map']}")
        print(f"task       route {run.env.route}, scenario {run.env.scenario}, seed {seed}", flush=True)
        yield Opened(run, seed, step, env, learner, params, simulator)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    try:
        return _main(_parser().parse_args(argv))
    except EXPECTED as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("evaluate: interrupted; nothing was written.", file=sys.stderr)
        return 130


def policy_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Which checkpoint to drive, and on what: the options that `opened` reads."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--checkpoint", type=Path, required=True, help="directory of a training run, runs/NAME")
    parser.add_argument("--step", type=int, help="which checkpoint (default: the last one)")
    parser.add_argument("--seed", type=int, help="of the evaluation episodes (default: the run's)")
    parser.add_argument("--scenario", help="empty, 0, 1 or 2: 0, 20, 50, 100 NPC vehicles (default: as trained)")
    parser.add_argument("--route", help="a route's name or 'X,Y -> X,Y' in metres (default: as trained)")
    parser.add_argument("--sim.endpoint", dest="endpoint", help="embedded, or HOST:PORT (default: as trained)")
    parser.add_argument("--sim.xodr", dest="xodr", help="an OpenDRIVE file to drive on (default: as trained)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "gpu"))
    return parser


def _parser() -> argparse.ArgumentParser:
    parser = policy_parser("python -m avtd3_jax.evaluate", __doc__)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--video", type=Path, help="write the drive to this .mp4")
    return parser


def _main(args: argparse.Namespace) -> int:
    if args.episodes < 1:
        raise ValueError(f"--episodes is {args.episodes}: drive at least 1.")
    if args.video is not None:
        check_video_path(args.video)
    with opened(args, render=args.video is not None) as policy, ExitStack() as stack:
        env, config = policy.env, policy.run.env
        on_step: StepHook | None = None
        if args.video is not None:
            video = stack.enter_context(VideoWriter(args.video, fps=1.0 / config.decision_s))
            on_step = Recorder(video)
        print(f"drives     {args.episodes} episodes", flush=True)
        drives = evaluate(env, policy.act, args.episodes, policy.seed, on_step)
        episodes = list(tqdm(drives, total=args.episodes, unit="episode"))
    result = report(episodes, step=policy.step, seed=policy.seed, env=config, simulator=policy.simulator)
    path = result_path(args.checkpoint, result)
    write_json(path, result)
    print(table(result))
    print(f"written to {path}" + (f" and {args.video}" if args.video else ""))
    return 0


def _overridden(run: RunConfig, args: argparse.Namespace) -> RunConfig:
    """The run's configuration with what the command line sets otherwise."""
    simulator = {name: value for name in ("endpoint", "xodr") if (value := getattr(args, name)) is not None}
    env = {name: value for name in ("scenario", "route") if (value := getattr(args, name)) is not None}
    first = run.environments()[0]
    changed = dataclasses.replace(first, simulator=dataclasses.replace(first.simulator, **simulator), **env)
    changed.validate()
    return dataclasses.replace(run, env=changed)


if __name__ == "__main__":
    sys.exit(main())
