"""python -m experiments: runs the experiments, draws their figures, writes their tables."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from avtd3_jax.errors import Avtd3Error, InputError
from envloop.errors import EnvLoopError
from experiments.campaign import Campaign
from experiments.experiments import EXPERIMENTS, experiment
from experiments.processes import ROOT, Stopped
from experiments.rows import changes_of, rows


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    args, rest = _parser().parse_known_args(argv)
    try:
        if rest and args.action is not _run:
            raise InputError(f"Unknown argument {rest[0]!r}.")
        args.changes = rest
        return args.action(args)
    except (Avtd3Error, EnvLoopError) as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(f"experiments: {stopped}: what was done is kept; the same command goes on.", file=sys.stderr)
        return 128 + stopped.number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments",
        description=__doc__,
        epilog="example: python -m experiments run route-0 --seeds 1 2 3",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--output", type=Path, default=ROOT / "results", help="folder of the results (default: results)"
    )
    run = actions.add_parser(
        "run",
        parents=[shared],
        help="train and evaluate",
        epilog="--config.KEY=VALUE changes a setting of all trainings.",
    )
    run.add_argument("experiment", help=", ".join(e.name for e in EXPERIMENTS))
    run.add_argument("--seeds", type=int, nargs="+", help="of the trainings (default: the experiment's)")
    run.add_argument(
        "--only", nargs="+", default=[], metavar="VARIANT", help="these variants, or levels of this factor"
    )
    run.add_argument("--runs", type=Path, default=ROOT / "runs" / "experiments", help="folder of the run directories")
    run.add_argument("--episodes", type=int, help="of every final evaluation (default: the task's)")
    run.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="spread the rows over a Ray cluster: HOST:PORT, auto, or local for one of its own",
    )
    run.add_argument("--row-cpus", type=float, default=2.0, help="CPUs that a row asks for with --ray (default: 2)")
    run.add_argument("--row-gpus", type=float, default=0.0, help="GPUs, or a part of one, likewise (default: 0)")
    run.set_defaults(action=_run)
    sweep = actions.add_parser(
        "sweep", parents=[shared], help="draw settings, and stop the worse trainings early, on Ray"
    )
    sweep.add_argument("file", type=Path, help="what is swept: experiments/sweep.py describes it")
    sweep.add_argument("--runs", type=Path, default=ROOT / "runs" / "experiments", help="folder of the run directories")
    sweep.add_argument("--ray", metavar="ADDRESS", default="local", help="HOST:PORT, auto, or local (default)")
    sweep.add_argument("--row-cpus", type=float, default=2.0, help="CPUs that a trial asks for (default: 2)")
    sweep.add_argument("--row-gpus", type=float, default=0.0, help="GPUs, or a part of one, likewise (default: 0)")
    sweep.set_defaults(action=_sweep)
    listing = actions.add_parser("list", parents=[shared], help="show the experiments, and which rows are there")
    listing.set_defaults(action=_list)
    figures = actions.add_parser("figures", parents=[shared], help="draw the figures")
    figures.set_defaults(action=_figures)
    table = actions.add_parser("table", parents=[shared], help="write the tables into README.md beside the results")
    table.set_defaults(action=_table)
    return parser


def _run(args: argparse.Namespace) -> int:
    if args.episodes is not None and args.episodes < 1:
        raise InputError(f"--episodes is {args.episodes}: drive at least 1.")
    for name in ("row_cpus", "row_gpus"):
        if getattr(args, name) < 0.0:
            raise InputError(f"--{name.replace('_', '-')} is {getattr(args, name)}: it must not be negative.")
    wanted = rows(experiment(args.experiment), args.seeds, args.only, changes_of(args.changes))
    if args.ray is None:
        return 1 if Campaign(args.output, args.runs, args.episodes).run(wanted) else 0
    from experiments import on_ray  # an extra, which a campaign on one machine does not need

    options = ["--output", str(args.output.absolute()), "--runs", str(args.runs.absolute())]
    options += [] if args.episodes is None else ["--episodes", str(args.episodes)]
    return 1 if on_ray.run(wanted, options, args.ray, args.row_cpus, args.row_gpus) else 0


def _sweep(args: argparse.Namespace) -> int:
    from experiments import sweep

    plan = sweep.read(args.file, args.runs, args.row_cpus, args.row_gpus)
    return 1 if sweep.run(plan, args.output, args.ray) else 0


def _list(args: argparse.Namespace) -> int:
    for found in EXPERIMENTS:
        print(f"{found.name}: {found.question}")
        for row in rows(found):
            done = row.path(args.output).exists()
            print(f"  {'done   ' if done else 'missing'} {row.command}")
    return 0


def _figures(args: argparse.Namespace) -> int:
    from experiments import figures  # matplotlib is an extra, and training needs none

    for path in figures.draw(args.output):
        print(f"written to {path}")
    return 0


def _table(args: argparse.Namespace) -> int:
    from experiments import tables

    print(tables.write(args.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
