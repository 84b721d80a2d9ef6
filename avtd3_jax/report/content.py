"""Everything that a report shows, as plain data for its page, as far as there is room."""

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from avtd3_jax.report.figures import sections
from avtd3_jax.report.palette import OTHER_OUTCOME, OUTCOMES, Style, run_style
from avtd3_jax.report.run_data import Evaluation, Run, parsed
from avtd3_jax.report.settings_table import changed_settings

LIMIT = 15_000_000  # bytes of the whole file
_ROWS, _TRACKS = 0.6, 0.2  # of what curves leave of them, at most: for evaluations and failures; their tracks alone
_WHY = 250  # bytes that a failure's clip, or why it has none, takes beside its content
_STEPS = ("speed_kmh", "steer", "accel", "light")  # of a clip, drawn beside it
_SUMMARY = (
    "success",
    "route_completion",
    "driving_score_21",
    "collisions_per_km",
    "red_lights_per_km",
    "lane_invasions_per_km",
    "mean_speed_kmh",
    "mean_jerk",
    "return",
)
_INTERVAL = ("mean", "low", "high")
_UNKNOWN = "not recorded"


def frame(runs: Sequence[Run]) -> dict[str, Any]:
    """The data of the page without what `fill` adds: what was run, and the curves."""
    return {
        "runs": [_about(run, _style(run_style(number))) for number, run in enumerate(runs)],
        "settings": changed_settings(runs),
        "sections": sections(runs),
        "outcomes": {reason: _style(style) for reason, style in OUTCOMES.items()},
        "other": _style(OTHER_OUTCOME),
        "maps": {},
        "evaluations": [],
        "failures": [],
        "failures_left_out": 0,
        "clips": {},
    }


def fill(shown: dict[str, Any], runs: Sequence[Run], room: int) -> None:
    """Adds evaluations, failures and clips to a `frame`, whose JSON then takes at most `room` bytes.

    Where not everything fits, the newest evaluations come first: with their episodes, with tracks, and with clips. The
    others have their summaries.
    """
    newest_first = sorted(
        ((number, one) for number, run in enumerate(runs) for one in run.evaluations),
        key=lambda pair: (pair[1].step is None, -(pair[1].step or 0), -pair[1].written),
    )
    left = room - _size(shown)
    rows_left, tracks_left = _ROWS * left, _TRACKS * left
    for number, evaluation in newest_first:
        entry = _evaluation(runs[number], number, evaluation, shown["maps"])
        failures = _failures(runs[number], number, len(shown["evaluations"]), evaluation)
        tracks = _size([episode["track"] for episode in entry["episodes"]])
        if tracks > tracks_left:
            for episode in entry["episodes"]:
                episode["track"] = []
        else:
            tracks_left -= tracks
        if _size([entry, failures]) + _WHY * len(failures) > rows_left:
            shown["failures_left_out"] += len(failures)
            entry["left_out"], entry["episodes"], failures = len(entry["episodes"]), [], []
        rows_left -= _size([entry, failures]) + _WHY * len(failures)
        shown["evaluations"].append(entry)
        shown["failures"] += failures
    _add_clips(shown, runs, room)


def _size(data: Any) -> int:
    return len(in_script(data))


def in_script(data: Any) -> str:
    """JSON that may stand in a <script>: no text in it can end that."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _add_clips(shown: dict[str, Any], runs: Sequence[Run], room: int) -> None:
    left = room - _size(shown) - _WHY * len(shown["failures"])
    for failure in shown["failures"]:
        path = runs[failure["run"]].folder / "evaluations" / failure.pop("clip") if "clip" in failure else None
        failure["why_no_clip"] = "This episode was not recorded."
        if path is None:
            continue
        try:
            steps = parsed(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
            video = base64.b64encode(path.with_name(path.name + ".mp4").read_bytes()).decode()
        except (OSError, ValueError):
            failure["why_no_clip"] = "Its clip was removed: a run keeps the newest ones."
            continue
        if not _is_whole(steps):
            failure["why_no_clip"] = f"evaluations/clips/{path.name}.json cannot be read."
            continue
        size = _size(steps) + len(video)
        if size > left:
            failure["why_no_clip"] = f"No room in this file: see evaluations/clips/{path.name}.mp4."
            continue
        left -= size
        failure["steps"] = steps
        failure["video"] = str(len(shown["clips"]))
        shown["clips"][failure["video"]] = video
        del failure["why_no_clip"]


def _is_whole(steps: Any) -> bool:
    """Whether the numbers of a clip are all there."""
    if not isinstance(steps, dict) or not steps.get("fps"):
        return False
    lists = [steps.get(name) or [] for name in _STEPS]
    return all(lists) and len({len(one) for one in lists}) == 1 and not any(None in one for one in lists)


def _about(run: Run, style: dict[str, str]) -> dict[str, Any]:
    """What was run, for people."""
    simulator, device = run.provenance.get("simulator") or {}, run.provenance.get("device") or {}
    if not simulator and run.evaluations:
        simulator = run.evaluations[-1].result.get("simulator") or {}
    source, machine = run.provenance.get("source") or {}, run.provenance.get("machine") or {}
    env = run.config.get("env", {})
    learner = run.scalars.get("run/updates") or run.scalars.get("episode/return")
    hours = max((curve.hours[-1] for curve in run.scalars.values() if curve.hours), default=0.0)
    rows = {
        "Task": env.get("id") or f"{env.get('route', _UNKNOWN)}, traffic {run.config.get('scenario', _UNKNOWN)}",
        "Algorithm": run.config.get("algorithm"),
        "Environment steps": f"{learner.steps[-1]:,}" if learner else None,
        "Training episodes": f"{run.episodes:,}" if run.episodes else None,
        "Wall time": f"{60 * hours:.0f} min" if hours else None,
        "Seed": run.config.get("seed"),
        "Simulator": _joined(simulator, "{simulator}", "{map}"),
        "Device": _joined(device, "{device}", "{kind}"),
        "Machine": _joined(machine, "{system}", "{cores} cores", "{memory_gb} GB"),
        "Version": _joined(source, "avtd3-jax {version}"),
        "Commit": source.get("commit"),
        "JAX": device.get("jax"),
    }
    shown = {name: _UNKNOWN if value is None else str(value) for name, value in rows.items()}
    return {"name": run.name, "style": style, "rows": shown}


def _joined(facts: Mapping[str, Any], *forms: str) -> str | None:
    """The forms that `facts` fill, with commas; None for none: a run from before something was recorded lacks it."""
    told = []
    for form in forms:
        with suppress(KeyError):
            told.append(form.format_map(facts))
    return ", ".join(told) or None


def _evaluation(run: Run, number: int, evaluation: Evaluation, maps: dict[str, Any]) -> dict[str, Any]:
    result = evaluation.result
    summary = result.get("summary") or {}
    names = [name for name in _SUMMARY if name in summary] or list(summary)
    intervals = [{"name": name, **{key: _short(summary[name].get(key)) for key in _INTERVAL}} for name in names]
    return {
        "run": number,
        "title": f"{run.name}, {evaluation.title}",
        "simulator": (result.get("simulator") or {}).get("simulator", _UNKNOWN),
        "summary": intervals,
        "episodes": [_episode(run, i, episode, maps) for i, episode in enumerate(result["episodes"])],
        "left_out": 0,  # episodes
    }


def _episode(run: Run, i: int, episode: Mapping[str, Any], maps: dict[str, Any]) -> dict[str, Any]:
    town = episode.get("map")
    if town is not None and town not in maps:
        try:
            maps[town] = json.loads((run.folder / "evaluations" / town).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            maps[town] = None
    return {
        "number": i,
        "route": episode.get("route"),
        "reason": episode.get("reason"),
        "success": episode.get("success"),
        "completion": _short(episode.get("route_completion")),
        "speed_kmh": _short(episode.get("mean_speed_kmh")),
        "return": _short(episode.get("return")),
        "length": episode.get("length"),
        "duration_s": _short(episode.get("duration_s")),
        "track": [[round(x, 1), round(y, 1)] for x, y in episode.get("track") or [] if None not in (x, y)],
        "map": town,
    }


def _failures(run: Run, number: int, entry: int, evaluation: Evaluation) -> list[dict[str, Any]]:
    found = []
    for i, episode in enumerate(evaluation.result["episodes"]):
        if episode.get("success", 1):
            continue
        scenario = episode.get("scenario", evaluation.result.get("scenario"))
        failure = {
            "run": number,
            "run_name": run.name,
            "evaluation": entry,
            "episode": i,
            "step": evaluation.step,
            "policy": evaluation.result.get("policy"),
            "reason": episode.get("reason") or "unknown",
            "route": episode.get("route") or "unknown",
            "density": "unknown" if scenario is None else str(scenario),
            "completion": _short(episode.get("route_completion")),
            "duration_s": _short(episode.get("duration_s")),
        }
        found.append({**failure, "clip": episode["clip"]} if "clip" in episode else failure)
    return found


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _style(style: Style) -> dict[str, str]:
    return {"colour": style.colour, "dash": style.dash, "marker": style.marker}
