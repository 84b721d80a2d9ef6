"""python -m avtd3_jax.drive --seed 3: shows a trained policy on a random route in traffic: a video, a map, a table.

Without --checkpoint it is the policy that comes with the package. The route, the others and the weather are drawn from
the seed; the same seed shows the same drive.
"""

import argparse
import secrets
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from avtd3_jax.commands import run_command
from avtd3_jax.console import Progress
from avtd3_jax.errors import ConfigError, RunDirectoryError
from avtd3_jax.evaluation.episodes import evaluate
from avtd3_jax.evaluation.opening import add_shared_options, opened
from avtd3_jax.evaluation.report import NETWORK, report, table, task_name
from avtd3_jax.evaluation.scene import Recorder
from avtd3_jax.policies.files import DRIVER, named_policy
from avtd3_jax.settings.config_file import split_options
from avtd3_jax.training.logs import write_json
from avtd3_jax.training.run_directory import check_writable, writing
from envloop.config import EnvConfig
from envloop.drawing.birdseye import BirdsEye, lane_polygons
from envloop.drawing.video import VideoWriter
from envloop.env import CarlaEnv
from envloop.task.scenario import RANDOM

_SCENARIO = "regular"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m avtd3_jax.drive", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--checkpoint", type=named_policy, default=DRIVER, help="a run, or a folder that export wrote")
    parser.add_argument("--route", default=RANDOM, help="a route's name or 'X,Y -> X,Y' in metres (default: random)")
    add_shared_options(parser)
    parser.set_defaults(config=None, policy=NETWORK, scenario=_SCENARIO)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/drive"), help="folder to write to (default: %(default)s)"
    )
    work = partial(_main, parser, sys.argv[1:] if argv is None else argv)
    return run_command("drive", work, "interrupted; the video holds what was driven so far.")


def _main(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    rest, changes = split_options(argv)
    args = parser.parse_args(rest, argparse.Namespace(changes=changes))
    if args.seed is None:
        args.seed = secrets.randbelow(2**31)
    check_writable(args.out)
    with opened(args, render=True) as opening:
        env, config, network = opening.env, opening.run.env, opening.network
        assert network is not None
        if not isinstance(env, CarlaEnv) or not isinstance(config, EnvConfig):
            raise ConfigError("drive shows drives in CARLA and minicarla; this run's environment is Gymnasium's.")
        where = {"suite": None, "route": config.route, "scenario": config.scenario, "seed": opening.seed}
        of = {**where, "changes": opening.changes, "simulator": opening.simulator}
        name = task_name(f"step-{network.step:07d}", of)
        video_path, map_path = args.out / f"{name}.mp4", args.out / f"{name}.png"
        with VideoWriter(video_path, fps=1.0 / opening.decision_s) as video:
            drives = evaluate(env, config, opening.make_policy, 1, opening.seed, Recorder(video))
            episodes = list(Progress(drives, total=1, unit="episode"))
        _write_map(env, episodes[0]["track"], map_path)
    result = report(
        episodes,
        policy=NETWORK,
        run=args.checkpoint.resolve().name,
        step=network.step,
        seed=opening.seed,
        env=config,
        simulator=opening.simulator,
        changes=opening.changes,
    )
    print(table(result))
    ended = episodes[0]
    print(f"drove      {ended['route_completion']:.0%} of {ended['route_m']:.0f} m, ended by: {ended['reason']}")
    path = args.out / f"{name}.json"
    with writing(path):
        write_json(path, result)
    print(f"written to {video_path}, {map_path.name} and {path.name}", flush=True)
    return 0


def _write_map(env: CarlaEnv, track: Sequence[tuple[float, float]], path: Path) -> None:
    """The route on the town's roads, and the way that was driven on it."""
    route = env.route_task.route.points[:, :2]
    picture = BirdsEye(lane_polygons(env.simulator.map), route).overview([np.array(track)], [route])
    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise RunDirectoryError(f"{path} could not be written: is the disk full?")


if __name__ == "__main__":
    sys.exit(main())
