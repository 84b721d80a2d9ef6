"""python -m experiments.perception --checkpoint runs/NAME: what the heads of a run's policy see on drives of its own.

The policy drives random routes of 100 to 600 m. At every decision its heads' numbers are put beside what the simulator
knows. R2 is the share of a number's variance that they explain: 1 is all, below 0 is worse than the mean. The area
under ROC is how well they tell that something is there from that nothing is: 0.5 is chance.

example: python -m experiments.perception --checkpoint runs/drive --scenario dense --seed 2000 --episodes 5
"""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avtd3_jax import runtime
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.commands import run_command
from avtd3_jax.console import Progress
from avtd3_jax.errors import ConfigError
from avtd3_jax.evaluation.opening import Network, restored
from avtd3_jax.seeding import RunStream, episode_seed
from avtd3_jax.settings.run_config import RunConfig, parse_saved
from envloop.config import EnvConfig
from envloop.make import make_env
from envloop.task.affordances import AFFORDANCES, COLUMN_KINDS
from envloop.task.columns import COLUMNS
from envloop.task.scenario import SCENARIOS
from reporting.publish import plain_parser

_ABSENT = 1e-6  # a number no larger than this says that nothing is there
Numbers = NDArray[np.float32]


def r2(said: Numbers, true: Numbers) -> float:
    """Share of the variance of `true` that `said` explains; both [N]. NaN where `true` does not vary."""
    variance = float(true.var())
    return 1.0 - float(np.square(said - true).mean()) / variance if variance > 0.0 else float("nan")


def area_under_roc(said: Numbers, present: NDArray[np.bool_]) -> float:
    """How often a present one is said to be more than an absent one; both [N]. NaN where all are alike."""
    absent, there = np.sort(said[~present]), said[present]
    if not (len(absent) and len(there)):
        return float("nan")
    below = np.searchsorted(absent, there, "left") + np.searchsorted(absent, there, "right")
    return float(below.mean() / (2.0 * len(absent)))


def drives(network: Network, config: EnvConfig, episodes: int, seed: int) -> Iterator[tuple[Numbers, Numbers]]:
    """What the heads said and what was true, [K] each, at every decision of the episodes."""
    env = make_env(config)
    try:
        for number in Progress(range(episodes), total=episodes, unit="episode"):
            start = episode_seed(seed, RunStream.EVALUATION, number)
            observation, _ = env.reset(seed=start, options={"start": "beginning"})
            ended = False
            while not ended:
                said = network.agent.told(network.params, observation)
                yield said[: len(observation["privileged"])], observation["privileged"]
                action = network.agent.act(network.params, observation)
                observation, _, terminated, truncated, _ = env.step(action)
                ended = terminated or truncated
    finally:
        env.close()


def table(said: Numbers, true: Numbers) -> list[str]:
    """Lines of a Markdown table; both arrays are [N, K]."""
    lines = ["| | present | R2 | area under ROC |", "| --- | ---: | ---: | ---: |"]
    rows = [(name, said[:, i], true[:, i]) for i, name in enumerate(AFFORDANCES)]
    if true.shape[1] > len(AFFORDANCES):
        told, known = (part[:, len(AFFORDANCES) :].reshape(-1, COLUMNS, len(COLUMN_KINDS)) for part in (said, true))
        rows += [
            (f"{kind} in a column", told[..., i].ravel(), known[..., i].ravel()) for i, kind in enumerate(COLUMN_KINDS)
        ]
    for name, numbers, truth in rows:
        present = np.abs(truth) > _ABSENT
        area = area_under_roc(numbers, present)
        lines.append(f"| {name} | {present.mean():.0%} | {r2(numbers, truth):.2f} | {area:.2f} |")
    return lines


def heads_of(run: RunConfig, folder: Path) -> EnvConfig:
    """The environment whose numbers the heads of the run in `folder` tell.

    Raises:
      ConfigError: it has no heads.
    """
    if not isinstance(run.env, EnvConfig) or not (run.env.privileged and run.agent.auxiliary_weight):
        raise ConfigError(f"{folder} has no heads: it was trained without auxiliary_weight or privileged.")
    return run.env


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    options = plain_parser(__doc__)
    options.add_argument("--checkpoint", type=Path, required=True, help="directory of a training run")
    options.add_argument("--scenario", choices=SCENARIOS, default="dense")
    options.add_argument("--episodes", type=int, default=5)
    options.add_argument("--seed", type=int, default=2000)
    args = options.parse_args(sys.argv[1:] if argv is None else argv)

    def work() -> int:
        runtime.setup("cpu", option="--device")
        with Checkpoints(args.checkpoint / "checkpoints", read_only=True) as saved:
            run = parse_saved(saved.extras(None)["config"])
            network = restored(run, saved, None)
        config = dataclasses.replace(
            heads_of(run, args.checkpoint), scenario=args.scenario, rules=False, passers_by=0, expert=""
        )
        print(
            f"run        {args.checkpoint}, step {network.step}; {args.episodes} episodes, {args.scenario}", flush=True
        )
        said, true = map(np.array, zip(*drives(network, config, args.episodes, args.seed), strict=True))
        print(f"decisions  {len(true)}\n")
        print("\n".join(table(said, true)))
        return 0

    return run_command("perception", work, "interrupted; nothing was measured.")


if __name__ == "__main__":
    sys.exit(main())
