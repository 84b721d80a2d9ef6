"""Everything that a report shows, as plain data for its page; clips and tracks as far as there is room."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from avtd3_jax.report.figures import sections
from avtd3_jax.report.palette import OTHER_OUTCOME, OUTCOMES, Style, run_style
from avtd3_jax.report.run_data import Evaluation, Run
from avtd3_jax.report.settings_table import changed_settings

LIMIT = 15_000_000  # bytes of the whole file
_TRACKS = 2_500_000  # of them for evaluations at most
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


def content(runs: Sequence[Run], room: int) -> dict[str, Any]:
    """The data of the page; its JSON takes at most `room` bytes.

    Clips of the newest evaluations come first where they do not all fit.
    """
    shown: dict[str, Any] = {
        "runs": [_about(run, _style(run_style(number))) for number, run in enumerate(runs)],
        "settings": changed_settings(runs),
        "sections": sections(runs),
        "outcomes": {reason: _style(style) for reason, style in OUTCOMES.items()},
        "other": _style(OTHER_OUTCOME),
        "maps": {},
        "evaluations": [],
        "failures": [],
        "clips": {},
    }
    newest_first = sorted(
        ((number, one) for number, run in enumerate(runs) for one in run.evaluations),
        key=lambda pair: (pair[1].step is None, -(pair[1].step or 0), -pair[1].written),
    )
    tracks_left = min(_TRACKS, room // 3)
    for number, evaluation in newest_first:
        entry = _evaluation(runs[number], number, evaluation, shown["maps"])
        size = len(json.dumps(entry))
        if size > tracks_left:
            for episode in entry["episodes"]:
                episode["track"] = []
            size = 0
        tracks_left -= size
        shown["evaluations"].append(entry)
        shown["failures"] += _failures(runs[number], number, len(shown["evaluations"]) - 1, evaluation)
    _add_clips(shown, runs, room)
    return shown


def _add_clips(shown: dict[str, Any], runs: Sequence[Run], room: int) -> None:
    left = room - len(json.dumps(shown))
    for failure in shown["failures"]:
        path = runs[failure["run"]].folder / "evaluations" / failure.pop("clip") if "clip" in failure else None
        failure["why_no_clip"] = "This episode was not recorded."
        if path is None:
            continue
        try:
            steps = json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
            video = base64.b64encode(path.with_name(path.name + ".mp4").read_bytes()).decode()
        except (OSError, ValueError):
            failure["why_no_clip"] = "Its clip was removed: a run keeps the newest ones."
            continue
        size = len(json.dumps(steps)) + len(video) + 200
        if size > left:
            failure["why_no_clip"] = f"No room in this file: see evaluations/clips/{path.name}.mp4."
            continue
        left -= size
        failure["steps"] = steps
        failure["video"] = str(len(shown["clips"]))
        shown["clips"][failure["video"]] = video
        del failure["why_no_clip"]


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
        "Simulator": f"{simulator['simulator']}, {simulator.get('map', '')}" if simulator.get("simulator") else None,
        "Device": f"{device['device']}, {device.get('kind', '')}" if device.get("device") else None,
        "Machine": f"{machine['system']}, {machine['cores']} cores, {machine['memory_gb']} GB" if machine else None,
        "Version": f"avtd3-jax {source['version']}" if source else None,
        "Commit": source.get("commit"),
        "JAX": device.get("jax"),
    }
    shown = {name: _UNKNOWN if value is None else str(value) for name, value in rows.items()}
    return {"name": run.name, "style": style, "rows": shown}


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
        "track": [[round(x, 1), round(y, 1)] for x, y in episode.get("track", [])],
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
