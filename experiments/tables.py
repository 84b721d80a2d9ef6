"""The tables of the results, as Markdown: written from the rows into README.md beside them; no figure is typed."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avtd3_jax.errors import InputError
from envloop.baselines.policies import PRIVILEGED
from envloop.task.metrics import MEANS, PROPORTIONS, RATES
from experiments import summary
from experiments.estimates import Estimate
from experiments.experiments import EXPERIMENTS, Experiment
from experiments.summary import Group

_MARK = re.compile(r"(<!-- tables -->\n).*(<!-- end -->)", re.DOTALL)
_EMPTY_PAGE = "# Results\n\n<!-- tables -->\n<!-- end -->\n"

_PERCENT = ("success", "nocrash_success", "route_completion", "off_road", "off_lane")
_LABELS = {
    "success": "success, %",
    "nocrash_success": "NoCrash success, %",
    "route_completion": "route completion, %",
    "collisions_per_km": "collisions/km",
    "pedestrian_collisions_per_km": "with pedestrians",
    "vehicle_collisions_per_km": "with vehicles",
    "static_collisions_per_km": "with static objects",
    "lane_invasions_per_km": "lane invasions/km",
    "red_lights_per_km": "red lights/km",
    "off_road": "off road, % of the distance",
    "off_lane": "outside the route's lane, % of the distance",
    "mean_speed_kmh": "speed, km/h",
    "completion_time_s": "completion time, simulated s",
    "min_ttc_s": "least time to collision, s",
    "mean_jerk": "jerk, m/s^3",
    "mean_lateral_accel": "lateral acceleration, m/s^2",
    "mean_lateral_error_m": "lateral error, m",
    "mean_heading_error_deg": "heading error, deg",
    "driving_score": "driving score (leaderboard 2.0)",
    "driving_score_21": "driving score (leaderboard 2.1)",
    "return": "return",
}
_ALL = (*PROPORTIONS, "route_completion", *RATES, *(name for name in MEANS if name != "route_completion"))
_CHIEF = (
    *("success", "route_completion", "collisions_per_km", "lane_invasions_per_km", "red_lights_per_km"),
    *("mean_speed_kmh", "completion_time_s", "mean_lateral_error_m", "mean_jerk", "driving_score"),
)


def write(results: Path) -> str:
    """Writes the tables between the marks of `results`/README.md, a page of its own where there is none; returns them.

    Raises:
      InputError: the page has no marks.
    """
    page = results / "README.md"
    text = page.read_text() if page.exists() else _EMPTY_PAGE
    if not _MARK.search(text):
        raise InputError(f"{page} has no '<!-- tables -->' and '<!-- end -->' for the tables to stand between.")
    shown = "\n".join(filter(None, (section(results, experiment) for experiment in EXPERIMENTS)))
    results.mkdir(parents=True, exist_ok=True)
    page.write_text(_MARK.sub(lambda found: f"{found[1]}{shown}{found[2]}", text))
    return shown


def section(results: Path, experiment: Experiment) -> str:
    """Everything about one experiment; "" where it has no rows."""
    groups = summary.groups(results, experiment)
    if not groups:
        return ""
    parts = [f"## {experiment.name}", experiment.question, f"    python -m experiments run {experiment.name}"]
    trained = [group for group in groups if group.trained]
    if trained:
        parts.append(_markdown([_training(group) for group in trained]))
    for task in summary.tasks(experiment, groups):
        driven = [group for group in groups if task in group.tasks()]
        names = _ALL if experiment.every_metric else _CHIEF
        metrics = [_successes(driven, task), *_metrics(driven, task, names)]
        # The longer side goes down the page.
        rows = metrics if len(driven) < len(metrics) else _turned(metrics)
        parts += [f"### {task}", _markdown(rows), _driven(driven, task)]
        if kinds := _kinds(driven, task):
            parts.append(_markdown(kinds))
    parts += [
        f"![{experiment.name}: {path.stem.partition('-' + experiment.name)[0]}](figures/{path.name})"
        for path in sorted((results / "figures").glob(f"*-{experiment.name}.png"))
    ]
    parts += [_where(groups)]
    parts += [
        f"**The seeds of {group.variant} were run with different configurations: {', '.join(keys)}.**"
        for group in groups
        if (keys := group.differing())
    ]
    return "\n\n".join(parts) + "\n"


def _training(group: Group) -> dict[str, str]:
    """How long a variant was trained, and when each of its seeds first drove a whole evaluation successfully."""
    found = [row["training"] for row in group.rows]
    first = [training["first_all_successful"] for training in found]
    return {
        "trained": group.variant,
        "seeds": ", ".join(str(row["seed"]) for row in group.rows),
        "env steps": f"{found[0]['env_steps']:,}",
        "wall minutes": _each(training["wall_minutes"] for training in found),
        "seeds with an all-successful evaluation": f"{sum(f is not None for f in first)} of {len(first)}",
        "at env steps": ", ".join(f"{f['env_steps']:,}" if f else "never" for f in first),
        "at wall minutes": ", ".join(f"{f['wall_minutes']:.0f}" if f else "never" for f in first),
        "route completion while learning, %": _cell(group.learning("route_completion"), "route_completion"),
    }


def _successes(groups: Sequence[Group], task: str) -> dict[str, str]:
    """What the percentages below it rest on, seed by seed."""
    return {"": "successful episodes", **{_column(group): group.successes(task) for group in groups}}


def _column(group: Group) -> str:
    """A policy, whether it is told more than an observation has, and what its intervals are over."""
    told = " (privileged)" if group.rows[0]["policy"] in PRIVILEGED else ""
    return f"{group.variant}{told}, {group.unit}"


def _metrics(groups: Sequence[Group], task: str, names: Sequence[str]) -> list[dict[str, str]]:
    """A line per metric that some policy has, a column per policy."""
    lines = []
    for name in names:
        found = [(group, group.metric(task, name)) for group in groups]
        if any(estimate for _, estimate in found):
            lines.append({"": _LABELS[name], **{_column(group): _of_group(group, e, name) for group, e in found}})
    return lines


def _of_group(group: Group, estimate: Estimate | None, name: str) -> str:
    """An estimate, and of how many seeds where not all have the metric."""
    fewer = estimate is not None and estimate.unit == "seed" and estimate.n < len(group.rows)
    return _cell(estimate, name) + (f", of {estimate.n}" if estimate is not None and fewer else "")


def _turned(lines: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """A line per policy, a column per metric."""
    columns = [name for name in lines[0] if name]
    return [{"": column, **{line[""]: line[column] for line in lines}} for column in columns]


def _kinds(groups: Sequence[Group], task: str) -> list[dict[str, str]]:
    """Successes by kind of route, where the task has several."""
    kinds = dict.fromkeys(route["kind"] for group in groups for row in group.rows for route in _routes(row, task))
    return [
        {"routes": kind, **{_column(group): _of_kind(group, task, kind) for group in groups}} for kind in kinds if kind
    ]


def _of_kind(group: Group, task: str, kind: str) -> str:
    """Successes of each seed on the routes of a kind."""
    of_seeds = [[route for route in _routes(row, task) if route["kind"] == kind] for row in group.rows]
    return summary.counts(
        [sum(route["successes"] for route in routes) for routes in of_seeds],
        [sum(route["episodes"] for route in routes) for routes in of_seeds],
    )


def _routes(row: Mapping[str, Any], task: str) -> list[Mapping[str, Any]]:
    return row["evaluations"][task]["routes"]


def _driven(groups: Sequence[Group], task: str) -> str:
    """What the table above rests on."""
    results = [row["evaluations"][task] for group in groups for row in group.rows]
    simulators = {f"{result['simulator']['simulator']}, {result['simulator']['map']}" for result in results}
    counts = {len(result["episodes"]) for result in results}
    return (
        f"On {' and '.join(sorted(simulators))}; {' or '.join(map(str, sorted(counts)))} episodes for each seed or "
        f"policy, the same for all (seed {', '.join(sorted({str(result['seed']) for result in results}))})."
    )


def _where(groups: Sequence[Group]) -> str:
    machines = {_machine(row) for group in groups for row in group.rows if row["training"]}
    if not machines:
        return "Nothing here was trained."
    return f"Trained on {'; '.join(sorted(machines))}."


def _machine(row: Mapping[str, Any]) -> str:
    device, where = row["training"]["device"], row["machine"]
    commits = ", ".join(dict.fromkeys(launch["commit"] for launch in row["training"]["launches"]))
    return f"{device['device']} ({device['kind']}), jax {device['jax']}, Python {where['python']}, commit {commits}"


def _cell(value: Estimate | None, name: str) -> str:
    if value is None:
        return "-"
    scale = 100.0 if name in _PERCENT else 1.0
    interval = (
        "" if value.low is None or value.high is None else f" ({scale * value.low:.3g} .. {scale * value.high:.3g})"
    )
    return f"{scale * value.mean:.3g}{interval}"


def _each(values: Any) -> str:
    return ", ".join(f"{value:.0f}" for value in values)


def _markdown(rows: Sequence[Mapping[str, str]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([row.get(name, "") for name in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
