"""python -m avtd3_jax.evaluate --checkpoint runs/NAME: drives a policy without noise and measures it.

Either the trained policy, or a scripted one (--policy expert, follower, blind-follower or random) that drives the very
same episodes.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from avtd3_jax.commands import run_command
from avtd3_jax.console import Progress
from avtd3_jax.errors import ConfigError
from avtd3_jax.evaluation.episodes import Metrics, StepHook, evaluate
from avtd3_jax.evaluation.opening import Opened, add_shared_options, opened
from avtd3_jax.evaluation.report import NETWORK, recordings_of, report, result_path, table
from avtd3_jax.evaluation.scene import Recorder
from avtd3_jax.policies.files import in_the_box, named_policy
from avtd3_jax.report.page import REPORT, write_report
from avtd3_jax.settings.config_file import split_options
from avtd3_jax.training.logs import write_json
from avtd3_jax.training.run_directory import check_writable, writing
from envloop.baselines.policies import SCRIPTED
from envloop.drawing.video import VideoWriter, check_video_path
from envloop.suites import SuiteTown, load_suite, suite_names

_EPISODES = 10  # where there is no suite, each of whose routes is driven once


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    return run_command("evaluate", partial(_main, argv), "interrupted; nothing was written.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m avtd3_jax.evaluate", description=(__doc__ or "").split("\n")[0])
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument(
        "--checkpoint",
        type=named_policy,
        help="a run, runs/NAME, a folder that export wrote, or town01_drive, the driver in the box: policy and task",
    )
    task.add_argument(
        "--config",
        type=Path,
        help="a configuration file: its task, for a scripted policy; set any key by --config.KEY=VALUE",
    )
    parser.add_argument(
        "--policy", default=NETWORK, choices=(NETWORK, *SCRIPTED), help="who drives (default: %(default)s)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--suite", choices=suite_names(), help="drive each route of a suite, in the suite's towns")
    where.add_argument("--route", help="a route's name or 'X,Y -> X,Y' in metres (default: as trained)")
    parser.add_argument("--episodes", type=int, help=f"default {_EPISODES}; with --suite, on each route: default 1")
    add_shared_options(parser)
    parser.add_argument(
        "--workdir",
        type=Path,
        help="the JSON goes to its evaluations/ (default: the run; runs/NAME for a driver in the box)",
    )
    parser.add_argument("--report", action="store_true", help=f"write {REPORT} beside: curves, tracks, failures")
    parser.add_argument("--video", type=Path, help="write the drive to this .mp4")
    return parser


def _main(argv: Sequence[str]) -> int:
    rest, changes = split_options(argv)
    args = _parser().parse_args(rest, argparse.Namespace(changes=changes))
    workdir = _checked(args)
    parts = load_suite(args.suite).towns if args.suite else (None,)
    driven: list[Metrics] = []
    maps: list[str] = []
    with ExitStack() as stack:
        on_step = None
        for part in parts:
            with opened(args, render=args.video is not None, part=part) as opening:
                check_writable(workdir / "evaluations")  # before episodes are driven that could not be kept
                if args.video and on_step is None:
                    on_step = Recorder(stack.enter_context(VideoWriter(args.video, fps=1.0 / opening.decision_s)))
                driven += _driven(args, opening, part, on_step, workdir)
                maps.append(opening.simulator["map"])
    simulator = {**opening.simulator, "map": ", ".join(maps)}
    run = args.checkpoint.resolve().name if opening.network else None
    result = report(driven, run=run, **_told(args, opening), simulator=simulator)
    print(table(result), flush=True)  # whatever becomes of the file
    path = result_path(workdir, result)
    with writing(path):
        write_json(path, result)
    print(f"written to {path}" + (f" and {args.video}" if args.video else ""), flush=True)
    if args.report:
        write_report([workdir], workdir / REPORT)
        print(f"report in {workdir / REPORT}", flush=True)
    return 0


def _told(args: argparse.Namespace, opening: Opened) -> dict[str, Any]:
    """What is driven by whom, for a file of results."""
    return {
        "policy": args.policy,
        "step": opening.network.step if opening.network else None,
        "seed": opening.seed,
        "env": opening.run.env,
        "suite": args.suite,
        "changes": opening.changes,
    }


def _driven(
    args: argparse.Namespace, opening: Opened, part: SuiteTown | None, on_step: StepHook | None, workdir: Path
) -> list[Metrics]:
    """Drives all episodes of one town."""
    episodes = args.episodes or (1 if part else _EPISODES)
    env, make_policy, seed = opening.env, opening.make_policy, opening.seed
    recordings = recordings_of(workdir, **_told(args, opening), simulator=opening.simulator)
    drives = evaluate(env, opening.run.env, make_policy, episodes, seed, on_step, part, recordings)
    return list(Progress(drives, total=episodes * (len(part.routes) if part else 1), unit="episode"))


def _checked(args: argparse.Namespace) -> Path:
    """Refuses what cannot be driven before anything starts; the directory for the result."""
    if args.episodes is not None and args.episodes < 1:
        raise ConfigError(f"--episodes is {args.episodes}: drive at least 1.")
    if args.policy == NETWORK and args.checkpoint is None:
        raise ConfigError("--policy network needs the run that it was trained in: give --checkpoint runs/NAME.")
    if args.video is not None:
        check_video_path(args.video)
    if args.workdir is None and args.checkpoint is None:
        raise ConfigError("--config needs --workdir: the directory for the result.")
    if args.workdir is None and in_the_box(args.checkpoint):
        return Path("runs") / args.checkpoint.name
    return Path(args.workdir or args.checkpoint)


if __name__ == "__main__":
    sys.exit(main())
