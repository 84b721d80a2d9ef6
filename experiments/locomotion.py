"""Does it learn MuJoCo's robots as well as Stable-Baselines3 does? The same TD3, from vectors alone.

python -m experiments.locomotion run [--envs ...] [--libraries ...] [--seeds ...] [--steps 100000]
    [--output results/locomotion] [--runs runs/locomotion]
python -m experiments.locomotion table [--output results/locomotion]

`run` makes the missing ones of 30 trainings, seed after seed, and writes a JSON file each. It may be stopped and
called again: ours goes on from its last checkpoint, Stable-Baselines3's begins its training anew. Every training is
evaluated without noise ten times. `table` shows the mean return of the last evaluation with a 95 % interval over
seeds. The hyperparameters are those of `configs/mujoco.py`. Needs `pip install -e '.[bench]'`.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avtd3_jax.settings.config_file import load
from avtd3_jax.settings.run_config import RunConfig
from avtd3_jax.training.logs import write_json
from experiments.estimates import over_seeds
from experiments.processes import ROOT, CommandError, Processes, Stopped
from experiments.record import last_line
from reporting.machine import machine
from reporting.publish import plain_parser
from reporting.rival import sb3_td3

ENVS = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5")
LIBRARIES = ("ours", "SB3")
SEEDS = (0, 1, 2, 3, 4)
EVALUATIONS = 10
CONFIG = ROOT / "configs" / "mujoco.py"
_PROGRESS_S = 120.0


@dataclass(frozen=True)
class Job:
    """One training."""

    env: str
    library: str
    seed: int
    steps: int

    @property
    def name(self) -> str:
        return f"{self.env}-{self.library}-seed{self.seed}"

    @property
    def changes(self) -> dict[str, Any]:
        """What the configuration is changed in: dotted key -> value."""
        every = max(self.steps // EVALUATIONS, 1)
        return {
            "env.id": self.env,
            "total_steps": self.steps,
            "seed": self.seed,
            "exploration_steps": every,
            "eval_every": every,
            "checkpoint_every": every,
        }

    def config(self) -> RunConfig:
        """What it is trained with."""
        return load(CONFIG, self.changes)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code is 1 where a training failed."""
    options = plain_parser(__doc__)
    options.add_argument("action", choices=["run", "table", "sb3"], help="sb3 is one training, as `run` calls it")
    options.add_argument("--envs", nargs="+", default=list(ENVS))
    options.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=LIBRARIES)
    options.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    options.add_argument("--steps", type=int, default=100_000)
    options.add_argument("--output", type=Path, default=ROOT / "results" / "locomotion")
    options.add_argument("--runs", type=Path, default=ROOT / "runs" / "locomotion")
    args = options.parse_args(argv)
    jobs = [
        Job(env, library, seed, args.steps) for seed in args.seeds for env in args.envs for library in args.libraries
    ]
    if args.action == "table":
        print(table(args.output.absolute()))
        return 0
    if args.action == "sb3":
        for job in jobs:
            _learn_sb3(job, args.output)
        return 0
    try:
        return run(jobs, args.output.absolute(), args.runs.absolute())
    except Stopped as stopped:
        print(f"locomotion: {stopped}: what was done is kept; the same command goes on.", file=sys.stderr)
        return 128 + stopped.number


def run(jobs: Sequence[Job], output: Path, runs: Path) -> int:
    """Makes what is missing, one after the other. Raises Stopped by a signal."""
    failed = 0
    with Processes() as processes:
        for number, job in enumerate(jobs, start=1):
            path, where = output / f"{job.name}.json", f"[{number}/{len(jobs)}] {job.name}"
            if path.exists():
                print(f"{where}: done already", flush=True)
                continue
            folder = runs / job.name
            print(f"{where}: training", flush=True)
            try:
                curve = _train(job, folder, processes, where)
            except CommandError as error:
                print(f"{where}: FAILED: {error}", flush=True)
                failed += 1
                continue
            row = {"env": job.env, "library": job.library, "seed": job.seed, "steps": job.steps}
            write_json(path, {**row, "machine": machine(), "curve": curve})
            print(f"{where}: return {curve[-1]['return']:.0f}", flush=True)
    return int(failed > 0)


def table(output: Path) -> str:
    """Markdown: a line an environment; the last evaluation's mean return of each library, over its seeds."""
    found = [json.loads(path.read_text()) for path in sorted(output.glob("*.json"))]
    lines = [f"| environment | {' | '.join(LIBRARIES)} | seeds |", "| --- |" + " --- |" * (len(LIBRARIES) + 1)]
    for env in dict.fromkeys(row["env"] for row in found):
        cells, seeds = [], []
        for library in LIBRARIES:
            rows = [row for row in found if row["env"] == env and row["library"] == library]
            seeds.append(", ".join(str(row["seed"]) for row in rows))
            cells.append(_cell([row["curve"][-1]["return"] for row in rows]))
        lines.append(f"| {env} | {' | '.join(cells)} | {' / '.join(dict.fromkeys(seeds))} |")
    return "\n".join(lines)


def _cell(returns: Sequence[float]) -> str:
    if not returns:
        return "-"
    estimate = over_seeds(returns)
    interval = "" if estimate.low is None else f" ({estimate.low:.0f} .. {estimate.high:.0f})"
    return f"{estimate.mean:.0f}{interval}"


def _train(job: Job, folder: Path, processes: Processes, where: str) -> list[dict[str, Any]]:
    """The learning curve, a point an evaluation."""

    def tell() -> None:
        last = last_line(folder / "episodes.jsonl")
        if last:
            print(f"{where}: {last['step']:,} of {job.steps:,} steps", flush=True)

    if job.library == "SB3":
        one = ["--envs", job.env, "--libraries", "SB3", "--seeds", str(job.seed), "--steps", str(job.steps)]
        arguments = ["sb3", *one, "--output", str(folder)]
        processes.run("experiments.locomotion", arguments, folder / "train.log", tell, _PROGRESS_S)
        return json.loads((folder / "curve.json").read_text())
    arguments = ["--config", str(CONFIG), "--workdir", str(folder)]
    arguments += ["--resume"] if (folder / "config.json").exists() else []
    arguments += [f"--config.{key}={value}" for key, value in job.changes.items()]
    processes.run("avtd3_jax.train", arguments, folder / "train.log", tell, _PROGRESS_S)
    lines = (folder / "evaluations.jsonl").read_text().splitlines()
    return [{name: point[name] for name in ("step", "return", "wall_s")} for point in map(json.loads, lines)]


def _learn_sb3(job: Job, folder: Path) -> None:
    """Trains, and writes the curve to `folder`."""
    import time

    import gymnasium as gym
    from stable_baselines3 import TD3
    from stable_baselines3.common.callbacks import BaseCallback, EveryNTimesteps
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    run, curve, began = job.config(), list[dict[str, Any]](), time.perf_counter()
    evaluated = Monitor(gym.make(job.env))
    evaluated.reset(seed=1000 + job.seed)

    class Evaluation(BaseCallback):
        def _on_step(self) -> bool:
            mean, _ = evaluate_policy(self.model, evaluated, run.eval_episodes)
            curve.append({"step": self.num_timesteps, "return": mean, "wall_s": time.perf_counter() - began})
            print(curve[-1], flush=True)
            return True

    model = sb3_td3(TD3, run, seed=job.seed, device="cpu")
    model.learn(job.steps, callback=EveryNTimesteps(run.eval_every, Evaluation()))
    write_json(folder / "curve.json", curve)


if __name__ == "__main__":
    sys.exit(main())
