"""Rows put together: metrics and learning curves with 95 % intervals over seeds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from avtd3_jax.settings.run_config import changed_keys
from envloop.task.metrics import bounds
from experiments.estimates import Estimate, over_episodes, over_seeds
from experiments.experiments import Experiment

Progress = Literal["step", "wall_s"]


@dataclass(frozen=True)
class Group:
    """The rows of one variant, by seed."""

    variant: str
    rows: tuple[Mapping[str, Any], ...]

    @property
    def trained(self) -> bool:
        """Whether the policy was trained, and has a learning curve."""
        return self.rows[0]["policy"] == "network"

    def tasks(self) -> list[str]:
        """Names of the tasks that every row was evaluated on."""
        return [task for task in self.rows[0]["evaluations"] if all(task in row["evaluations"] for row in self.rows)]

    def episodes(self, task: str) -> list[Mapping[str, Any]]:
        """The final evaluation's episodes, of all seeds."""
        return [episode for row in self.rows for episode in row["evaluations"][task]["episodes"]]

    @property
    def unit(self) -> str:
        """What its intervals are over: "3 seeds", "1 seed", or "20 episodes" of a policy that was not trained."""
        if self.trained:
            return _counted(len(self.rows), "seed")
        counts = {len(row["evaluations"][task]["episodes"]) for row in self.rows for task in self.tasks()}
        return f"{' or '.join(map(str, sorted(counts)))} episodes"

    def metric(self, task: str, name: str) -> Estimate | None:
        """A metric of the final evaluation with its interval; None where no episode has it.

        The unit of a trained policy is a seed, whose mean over its episodes is one observation; of one that was not
        trained there is nothing but its episodes, so they are the unit.
        """
        if not self.trained:
            (row,) = self.rows
            found = row["evaluations"][task]["summary"].get(name)
            return None if found is None else _within(over_episodes(found), name)
        means = self.per_seed(task, name)
        return over_seeds(means, *bounds(name)) if means else None

    def successes(self, task: str) -> str:
        """Of each seed, as in "18, 20, 18 of 20"."""
        of_seeds = [row["evaluations"][task]["episodes"] for row in self.rows]
        return counts([sum(e["success"] for e in episodes) for episodes in of_seeds], [len(e) for e in of_seeds])

    def per_seed(self, task: str, name: str) -> list[float]:
        """A metric's mean of each seed that has it."""
        summaries = [row["evaluations"][task]["summary"].get(name) for row in self.rows]
        return [summary["mean"] for summary in summaries if summary is not None]

    def learning(self, name: str) -> Estimate:
        """A metric's mean under the learning curve, from its first to its last evaluation: how soon it is learned."""
        return over_seeds([_under(*curve(row, name)) for row in self.rows], *bounds(name))

    def differing(self) -> list[str]:
        """Configuration keys in which the rows differ, though only their seeds should."""
        configs = [{**(row["config"] or {}), "seed": None} for row in self.rows]
        return sorted({key for config in configs[1:] for key in changed_keys(configs[0], config)})

    def band(self, name: str, over: Progress = "step", points: int = 200) -> "Band":
        """The mean learning curve of a metric over the environment steps, or seconds, that all seeds have covered."""
        curves = [curve(row, name, over) for row in self.rows]
        first, last = max(places[0] for places, _ in curves), min(places[-1] for places, _ in curves)
        grid = np.linspace(first, max(first, last), points)
        values = np.stack([np.interp(grid, places, heights) for places, heights in curves])
        summaries = [over_seeds(column.tolist(), *bounds(name)) for column in values.T]
        low = np.array([s.mean if s.low is None else s.low for s in summaries])
        high = np.array([s.mean if s.high is None else s.high for s in summaries])
        return Band(grid, np.array([s.mean for s in summaries]), low, high)


@dataclass(frozen=True)
class Band:
    """A curve with its 95 % interval over seeds, each [N]; no wider than the curve for one."""

    places: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def curve(
    row: Mapping[str, Any], name: str, over: Progress = "step"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Environment steps, or seconds since the start, and the metric at a training's evaluations on its way."""
    points = [(point[over], point[name]) for point in row["curve"] if point.get(name) is not None]
    places, heights = zip(*points, strict=True)
    return np.array(places, float), np.array(heights, float)


def _under(steps: NDArray[np.float64], heights: NDArray[np.float64]) -> float:
    return float(np.trapezoid(heights, steps) / (steps[-1] - steps[0])) if len(steps) > 1 else float(heights[0])


def groups(results: Path, experiment: Experiment) -> list[Group]:
    """The rows there are of an experiment, by variant in the experiment's order."""
    found = [json.loads(path.read_text()) for path in sorted((results / experiment.name).glob("*.json"))]
    by_variant = [(v.name, [row for row in found if row["variant"] == v.name]) for v in experiment.variants]
    return [Group(name, tuple(sorted(rows, key=_seed))) for name, rows in by_variant if rows]


def tasks(experiment: Experiment, of: Sequence[Group]) -> list[str]:
    """Names of the tasks of an experiment that some group was evaluated on."""
    return [task.name for task in experiment.tasks if any(task.name in group.tasks() for group in of)]


def _seed(row: Mapping[str, Any]) -> int:
    return -1 if row["seed"] is None else row["seed"]


def counts(found: Sequence[int], among: Sequence[int]) -> str:
    """Successes of each seed among its episodes: "18, 20, 18 of 20"."""
    if len(set(among)) == 1:
        return f"{', '.join(map(str, found))} of {among[0]}"
    return ", ".join(f"{successes} of {number}" for successes, number in zip(found, among, strict=True))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _within(estimate: Estimate, name: str) -> Estimate:
    if estimate.low is None or estimate.high is None:
        return estimate
    least, most = bounds(name)
    return replace(estimate, low=max(estimate.low, least), high=min(estimate.high, most))
