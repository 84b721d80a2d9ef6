"""The figures of the results: learning curves with intervals, bars of success, trajectories over the map."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import NDArray

from envloop.drawing.birdseye import lane_polygons
from experiments import summary
from experiments.experiments import EXPERIMENTS, Experiment, Figure
from experiments.rows import factor
from experiments.summary import Group, Progress
from minicarla.maps import available_towns, load_town

_CURVES = {"success": "success", "route_completion": "route completion"}
_PANELS_ACROSS = 4
_MARGIN_M = 15.0
_GOOD, _BAD, _ROAD = "tab:green", "tab:red", "0.85"


def draw(results: Path) -> list[Path]:
    """Draws what the rows in `results` give; the pictures' paths."""
    folder = results / "figures"
    written = []
    for experiment in EXPERIMENTS:
        groups = summary.groups(results, experiment)
        for kind in experiment.figures if groups else ():
            canvas = _KINDS[kind](experiment, groups)
            if canvas is None:
                continue
            folder.mkdir(parents=True, exist_ok=True)
            written.append(folder / f"{kind}-{experiment.name}.png")
            canvas.savefig(written[-1], dpi=110)
            plt.close(canvas)
    return written


def curves(experiment: Experiment, groups: Sequence[Group], over: Progress = "step") -> Canvas | None:
    """Evaluations during training: each seed thin, the mean thick, its 95 % interval shaded.

    Levels of a factor share a panel of route completion with what has no factor changed, factors stand side by side.
    """
    trained = [group for group in groups if group.trained]
    if not trained:
        return None
    unchanged = [group for group in trained if factor(group.variant) is None]
    panels = [
        (name, [*unchanged, *(group for group in trained if factor(group.variant) == name)], "route_completion")
        for name in dict.fromkeys(factor(group.variant) for group in trained)
        if name is not None
    ] or [(label, trained, name) for name, label in _CURVES.items()]
    across = min(len(panels), _PANELS_ACROSS)
    down = -(-len(panels) // across)
    canvas, axes = plt.subplots(down, across, figsize=(4.0 * across, 3.2 * down), squeeze=False, sharey=True)
    for axis, (title, of, name) in zip(axes.flat, panels, strict=False):
        for colour, group in enumerate(of):
            _curve(axis, group, name, over, f"C{colour}")
        axis.set_title(title, fontsize=10)
        axis.set_ylabel(_CURVES[name] if title != _CURVES[name] else "")
        axis.set_ylim(-0.03, 1.03)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.set_xlabel("environment steps" if over == "step" else "wall time, s")
        axis.grid(alpha=0.2)
        axis.legend(fontsize=8, loc="lower right")
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    canvas.suptitle(f"{experiment.name}: evaluations during training\nmean and 95 % interval over seeds", fontsize=10)
    canvas.tight_layout()
    return canvas


def _curve(axis: Axes, group: Group, name: str, over: Progress, colour: str) -> None:
    for row in group.rows:
        axis.plot(*summary.curve(row, name, over), color=colour, linewidth=0.6, alpha=0.5)
    band = group.band(name, over)
    label = f"{group.variant} ({len(group.rows)} seed{'s' * (len(group.rows) > 1)})"
    axis.plot(band.places, band.mean, color=colour, linewidth=2.0, label=label)
    axis.fill_between(band.places, band.low, band.high, color=colour, alpha=0.15, linewidth=0.0)


def success(experiment: Experiment, groups: Sequence[Group]) -> Canvas | None:
    """Success of the final evaluations: a dot for each seed, their mean, its 95 % interval over seeds.

    A policy that was not trained has none, and its interval (Wilson's) is over its episodes.
    """
    tasks = summary.tasks(experiment, groups)
    size = 1.5 + 4.5 * len(tasks), 1.4 + 0.32 * len(groups)
    canvas, axes = plt.subplots(1, len(tasks), figsize=size, squeeze=False, sharey=True)
    for axis, task in zip(axes[0], tasks, strict=True):
        for place, group in enumerate(groups):
            if task in group.tasks():
                _bar(axis, place, group, task)
        axis.set_title(task, fontsize=10)
        axis.set_xlim(0.0, 1.02)
        axis.set_xlabel("success")
        axis.grid(axis="x", alpha=0.2)
        axis.set_yticks(range(len(groups)), [f"{group.variant}, {group.unit}" for group in groups])
    axes[0][0].invert_yaxis()
    canvas.suptitle("mean and 95 % interval over seeds (grey: no training, over episodes)", fontsize=9)
    canvas.tight_layout()
    return canvas


def _bar(axis: Axes, place: int, group: Group, task: str) -> None:
    found = group.metric(task, "success")
    assert found is not None
    spread = None  # one seed, or all alike
    if found.low is not None and found.high is not None:
        spread = [[found.mean - found.low], [found.high - found.mean]]
    axis.barh(place, found.mean, xerr=spread, color="C0" if group.trained else "0.7", capsize=3, height=0.7)
    if group.trained:
        seeds = group.per_seed(task, "success")
        apart = place + np.linspace(-0.2, 0.2, len(seeds) + 2)[1:-1]  # equal ones do not hide each other
        axis.plot(seeds, apart, "o", color="white", markeredgecolor="black", markersize=4, zorder=3, clip_on=False)


def tracks(experiment: Experiment, groups: Sequence[Group]) -> Canvas | None:
    """Where the final evaluations' episodes drove, from above: green, or red to where one failed.

    A row of pictures per policy, a column per task.
    """
    names = summary.tasks(experiment, groups)
    boxes = [_box([e for g in groups if name in g.tasks() for e in g.episodes(name)]) for name in names]
    tall = min(1.0, max(float(np.ptp(box[:, 1]) / np.ptp(box[:, 0])) for box in boxes))
    width = 9.0 if len(names) == 1 else 5.5
    size = width * len(names), (width * tall + 0.35) * len(groups)
    canvas, axes = plt.subplots(len(groups), len(names), figsize=size, squeeze=False)
    for group, line in zip(groups, axes, strict=True):
        for name, box, axis in zip(names, boxes, line, strict=True):
            if name in group.tasks():
                _drives(axis, group, name, box)
            else:
                axis.set_axis_off()
    canvas.tight_layout()
    return canvas


def _drives(axis: Axes, group: Group, task: str, box: NDArray[np.float64]) -> None:
    _map(axis, group.rows[0]["evaluations"][task]["simulator"]["map"])
    episodes = sorted(group.episodes(task), key=lambda episode: -episode["success"])  # failures on top
    for episode in episodes:
        _track(axis, episode)
    axis.set_title(f"{group.variant}, {task}: {group.successes(task)}", fontsize=9)
    axis.set_xlim(box[0, 0], box[1, 0])
    axis.set_ylim(box[1, 1], box[0, 1])  # CARLA's y points down on a map that has x to the right
    axis.set_aspect("equal")
    axis.set_xticks([])
    axis.set_yticks([])


def _track(axis: Axes, episode: Mapping[str, Any]) -> None:
    track, colour = np.array(episode["track"]), _GOOD if episode["success"] else _BAD
    axis.plot(track[:, 0], track[:, 1], color=colour, linewidth=1.0, alpha=0.6)
    axis.plot(*track[-1], "o" if episode["success"] else "x", color=colour, markersize=5)


def _box(episodes: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Corners [2, 2] of the part of the map that was driven on."""
    points = np.concatenate([episode["track"] for episode in episodes])
    return np.stack([points.min(axis=0) - _MARGIN_M, points.max(axis=0) + _MARGIN_M])


def _map(axis: Axes, town: str) -> None:
    axis.add_collection(PolyCollection(_lanes(town), facecolor=_ROAD, edgecolor=_ROAD, linewidth=0.5))


@functools.cache
def _lanes(town: str) -> list[NDArray[np.float64]]:
    """The town's lanes, as this project lays them out; none for a map that only its own simulator has."""
    return lane_polygons(load_town(town).carla_map) if town in available_towns() else []


_KINDS: Mapping[Figure, Callable[[Experiment, Sequence[Group]], Canvas | None]] = {
    "curves": curves,
    "clock": functools.partial(curves, over="wall_s"),
    "success": success,
    "tracks": tracks,
}
