"""The picture of docs/architecture.md: from a camera frame to a gradient."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

_COLOURS = {"minicarla": "#f3d9b1", "envloop": "#cfe3c4", "avtd3_jax": "#c9d8ee"}
_TEXT = {"color": "#222222", "fontsize": 9, "ha": "center", "va": "center"}


def _package(axes: plt.Axes, name: str, x: float, width: float, what: str) -> None:
    """A column of the picture."""
    style = FancyBboxPatch((x, 0.3), width, 6.1, boxstyle="round,pad=0.08", fc=_COLOURS[name], ec="none", alpha=0.45)
    axes.add_patch(style)
    axes.text(x + width / 2, 6.2, name, **{**_TEXT, "fontsize": 12, "fontweight": "bold"})
    axes.text(x + width / 2, 5.85, what, **{**_TEXT, "color": "#555555"})


def _box(axes: plt.Axes, package: str, x: float, y: float, title: str, text: str, width: float = 2.5) -> None:
    """A part, its centre at x, y."""
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.42), width, 0.84, boxstyle="round,pad=0.06", fc=_COLOURS[package], ec="#777777"
        )
    )
    axes.text(x, y + 0.2, title, **{**_TEXT, "fontweight": "bold"})
    axes.text(x, y - 0.17, text, **{**_TEXT, "fontsize": 8})


def _arrow(
    axes: plt.Axes, start: tuple[float, float], end: tuple[float, float], text: str = "", **where: float
) -> None:
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": "#333333", "lw": 1.3})
    if text:
        x, y = where.get("x", (start[0] + end[0]) / 2), where.get("y", (start[1] + end[1]) / 2)
        axes.text(x, y, text, **{**_TEXT, "fontsize": 8, "color": "#333333"})


def draw(path: Path) -> None:
    """Writes the picture to `path`, a .png."""
    figure, axes = plt.subplots(figsize=(13, 5.4), dpi=110)
    axes.set_xlim(0, 18.4)
    axes.set_ylim(0.1, 6.6)
    axes.axis("off")
    _package(axes, "minicarla", 0.2, 3.2, "the server; or CARLA 0.9.16")
    _package(axes, "envloop", 5.0, 3.4, "the task and the client; no jax")
    _package(axes, "avtd3_jax", 10.7, 7.5, "the learner; no carla")

    _box(axes, "minicarla", 1.8, 4.6, "1  tick", "0.05 s of simulated time", 2.8)
    _box(axes, "minicarla", 1.8, 2.6, "1  camera", "uint8 [144, 256, 4]", 2.8)
    _box(axes, "envloop", 6.7, 4.6, "client/", "carla client, ego, traffic", 3.0)
    _box(axes, "envloop", 6.7, 2.6, "2  CarlaEnv.step", "grey 84x84, stack, vector", 3.0)
    _box(axes, "envloop", 6.7, 1.0, "task/", "route, reward, termination", 3.0)
    _box(axes, "avtd3_jax", 14.4, 1.0, "3  the loop", "reset, act, step, record, learn", 6.8)
    _box(axes, "avtd3_jax", 12.4, 4.6, "3, 6  policy", "encoder and actor", 2.6)
    _box(axes, "avtd3_jax", 12.4, 2.6, "4  replay", "each frame once, uint8", 2.6)
    _box(axes, "avtd3_jax", 16.5, 2.6, "4  batch", "uint8 [B, 7, 84, 84], ...", 2.8)
    _box(axes, "avtd3_jax", 16.5, 4.6, "5  update", "target, loss, gradient, Adam", 2.8)

    _arrow(axes, (5.1, 4.6), (3.3, 4.6), "tick, control", y=4.8)
    _arrow(axes, (1.8, 4.1), (1.8, 3.1), "frame n", x=2.35)
    _arrow(axes, (3.3, 2.6), (5.1, 2.6), "picture of\nframe n", y=2.93)
    _arrow(axes, (6.7, 3.1), (6.7, 4.1), "2 ticks", x=7.2)
    _arrow(axes, (6.7, 1.5), (6.7, 2.1))
    _arrow(axes, (10.98, 4.75), (8.3, 3.0), "action", x=9.3, y=4.1)
    _arrow(axes, (8.3, 2.7), (10.98, 4.3), "observation", x=10.25, y=3.4)
    _arrow(axes, (8.3, 2.45), (10.98, 2.45), "frame, vector, action,\nreward, terminated", x=9.6, y=2.02)
    _arrow(axes, (13.8, 2.6), (15.0, 2.6), "sample", y=2.8)
    _arrow(axes, (16.5, 3.1), (16.5, 4.1), "to the device", x=15.6)
    _arrow(axes, (15.0, 4.6), (13.8, 4.6), "parameters", y=4.8)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.05, facecolor="white")
    plt.close(figure)
