"""The curves of a report, as figures of Plotly's, drawn against environment steps or hours."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from avtd3_jax.report.event_files import Curve
from avtd3_jax.report.palette import run_style
from avtd3_jax.report.run_data import Run

MOST_POINTS = 300  # of a curve; more are averaged
_MOST_CURVES = 20  # of a plot that have so many; of more curves each has fewer


@dataclass(frozen=True)
class Panel:
    """One plot: what it shows of each run.

    Attributes:
      title: above it.
      of: the curve of a run; None where it has none.
      unit: of its vertical axis.
      log: whether that axis is logarithmic.
      share: whether that axis goes from 0 to 100 %.
    """

    title: str
    of: Callable[[Run], Curve | None]
    unit: str = ""
    log: bool = False
    share: bool = False


def evaluated(name: str) -> Callable[[Run], Curve | None]:
    """A metric of the evaluations in training."""

    def of(run: Run) -> Curve | None:
        lines = [line for line in run.curve if "step" in line and isinstance(line.get(name), int | float)]
        if not lines:
            return None
        hours = [float(line.get("wall_s", 0.0)) / 3600.0 for line in lines]
        return Curve([line["step"] for line in lines], hours, [float(line[name]) for line in lines])

    return of


def logged(tag: str, smoothed: int = 1) -> Callable[[Run], Curve | None]:
    """A scalar of TensorBoard's, as a mean over the last `smoothed` points."""

    def of(run: Run) -> Curve | None:
        curve = run.scalars.get(tag)
        return None if curve is None else _moving_mean(curve, smoothed)

    return of


_MARKED, _FEW_MARKS = 60, 8  # points that are all marked; marks of a curve that has more
_EPISODES = 20  # that a training curve is averaged over
_GROUPS = ("encoder", "actor", "critic")


def sections(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """{"title", "note", "figures"} of every group of plots that some run has points for.

    A figure is {"id", "title", "figure"}, the last one's value being Plotly's JSON.
    """
    terms = sorted({tag.removeprefix("reward/") for run in runs for tag in run.scalars if tag.startswith("reward/")})
    phases = sorted({tag for run in runs for tag in run.scalars if tag.startswith("milliseconds/")})
    groups: list[tuple[str, str, list[Panel]]] = [
        (
            "Evaluations in training",
            "The policy without noise, on episodes that training never sees.",
            [
                Panel("Success", evaluated("success"), "of episodes", share=True),
                Panel("Route completion", evaluated("route_completion"), "of the route", share=True),
                Panel("Return", evaluated("return")),
                Panel("Collisions", evaluated("collisions_per_km"), "per km"),
                Panel("Driving score 2.1", evaluated("driving_score_21"), "0 to 100"),
                Panel("Mean speed", evaluated("mean_speed_kmh"), "km/h"),
            ],
        ),
        (
            "Training episodes",
            f"With exploration noise; means over {_EPISODES} episodes.",
            [
                Panel("Return", logged("episode/return", _EPISODES)),
                Panel("Success", logged("episode/success", _EPISODES), "of episodes", share=True),
                Panel("Route completion", logged("episode/route_completion", _EPISODES), "of the route", share=True),
                Panel("Length", logged("episode/length", _EPISODES), "steps"),
            ],
        ),
        (
            "Reward terms",
            f"Sums over a training episode; means over {_EPISODES} episodes.",
            [Panel(term, logged(f"reward/{term}", _EPISODES)) for term in terms],
        ),
        (
            "Q, losses and gradients",
            "Q should stay of the order of the returns.",
            [
                Panel("Q of the batch", logged("learner/q/mean")),
                Panel("Q target", logged("learner/q/target_mean")),
                Panel("|Q of the policy's action - Q of the batch's|", logged("learner/q/pi_gap_abs"), log=True),
                Panel("Critic loss", logged("learner/loss/critic"), log=True),
                Panel("Actor loss", logged("learner/loss/actor")),
                *(Panel(f"Gradient norm, {g}", logged(f"learner/grad_norm/{g}"), log=True) for g in _GROUPS),
                *(Panel(f"Parameter norm, {g}", logged(f"learner/param_norm/{g}")) for g in _GROUPS),
            ],
        ),
        (
            "Speed",
            "Time of one call of each phase.",
            [
                Panel("Environment steps", logged("run/steps_per_s"), "per s"),
                Panel("Updates", logged("run/updates_per_s"), "per s"),
                *(Panel(tag.removeprefix("milliseconds/"), logged(tag), "ms", log=True) for tag in phases),
            ],
        ),
    ]
    made = []
    for number, (title, note, panels) in enumerate(groups):
        drawn = [(panel.title, figure) for panel in panels if (figure := _figure(panel, runs)) is not None]
        figures = [{"id": f"curve-{number}-{i}", "title": name, "figure": one} for i, (name, one) in enumerate(drawn)]
        if figures:
            made.append({"title": title, "note": note, "figures": figures})
    return made


def _figure(panel: Panel, runs: Sequence[Run]) -> dict[str, Any] | None:
    figure = go.Figure()
    for number, run in enumerate(runs):
        curve = panel.of(run)
        if curve is None or not curve.steps:
            continue
        thin, style = _thinned(curve, min(MOST_POINTS, MOST_POINTS * _MOST_CURVES // len(runs))), run_style(number)
        figure.add_scatter(
            x=thin.steps,
            y=[_short(value) for value in thin.values],
            name=run.name,
            mode="lines+markers",
            line={"color": style.colour, "dash": style.dash, "width": 2},
            marker={"symbol": style.marker, "size": 6, "maxdisplayed": 0 if len(thin.steps) <= _MARKED else _FEW_MARKS},
            meta={"steps": thin.steps, "hours": [_short(hours) for hours in thin.hours]},
        )
    if not figure.data:
        return None
    shown = [value for trace in figure.data for value in trace.y]
    figure.update_layout(
        height=230,
        margin={"l": 52, "r": 8, "t": 8, "b": 36},
        showlegend=False,
        hovermode="x unified",
        xaxis={"title": {"text": "environment steps"}, "rangemode": "tozero"},
        yaxis={"title": {"text": panel.unit}, **_axis(panel, shown)},
        template=None,  # the larger part of a plot's JSON otherwise
    )
    made: dict[str, Any] = json.loads(figure.to_json())
    return made


def _axis(panel: Panel, values: Sequence[float | None]) -> dict[str, Any]:
    """What Plotly is told of the vertical axis on which `values` are drawn."""
    if panel.share:
        return {"range": [-0.04, 1.04], "tickformat": ".0%", "nticks": 5}
    positive = [value for value in values if value is not None and value > 0.0]
    if panel.log and len(positive) == len(values):
        return {"type": "log", "tickvals": _log_ticks(min(positive), max(positive))}
    return {"nticks": 5}


def _log_ticks(low: float, high: float) -> list[float]:
    """Whole powers of ten around low..high; with 2 and 5 of them where that makes no more than seven."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [float(f"{digit}e{power}") for power in decades for digit in (1, 2, 5)]
    within = [tick for tick in fine if low / 2 <= tick <= 2 * high]
    return within if len(within) <= 7 else [10.0**power for power in decades]


def _moving_mean(curve: Curve, window: int) -> Curve:
    if window <= 1:
        return curve
    total, means = 0.0, []
    for i, value in enumerate(curve.values):
        total += value - (curve.values[i - window] if i >= window else 0.0)
        means.append(total / min(i + 1, window))
    return Curve(curve.steps, curve.hours, means)


def _thinned(curve: Curve, most: int) -> Curve:
    """Means over neighbouring points, at the place of each last one, where there are too many."""
    size = math.ceil(len(curve.steps) / most)
    if size <= 1:
        return curve
    parts = [slice(i, i + size) for i in range(0, len(curve.steps), size)]
    means = [sum(part) / len(part) for part in (curve.values[one] for one in parts)]
    return Curve([curve.steps[one][-1] for one in parts], [curve.hours[one][-1] for one in parts], means)


def _short(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None
