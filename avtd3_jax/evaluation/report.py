"""What an evaluation leaves: a JSON file of every episode, and a table of the metrics with 95 % intervals."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avtd3_jax.evaluation.episodes import Metrics
from avtd3_jax.evaluation.recordings import Recordings
from envloop.baselines.policies import PRIVILEGED
from envloop.config import EnvConfig
from envloop.make import AnyEnvConfig
from envloop.suites import suite_route
from envloop.task.metrics import student, summarise

NETWORK = "network"
_NOTHING: Mapping[str, Any] = {}
_PRIVILEGED = "{} is privileged: the simulator tells it what is around, where a policy has the camera"


def report(
    episodes: Sequence[Metrics],
    *,
    policy: str,
    run: str | None,
    step: int | None,
    seed: int,
    env: AnyEnvConfig,
    simulator: Mapping[str, Any],
    suite: str | None = None,
    changes: Mapping[str, Any] = _NOTHING,
) -> dict[str, Any]:
    """The content of an evaluation file: who drove what where, every episode, and the summary with 95 % intervals.

    Args:
      policy: "network", or the name of a scripted one.
      run, step: name of the run and environment step that the network comes from; None for a scripted policy.
      suite: name of what was driven; None for the task of `env`.
      changes: config keys that were set otherwise than the run or the file says.
    """
    driving = isinstance(env, EnvConfig)
    return {
        "policy": policy,
        "privileged": policy in PRIVILEGED,
        "run": run,
        "step": step,
        "seed": seed,
        **_task(env, suite, changes),
        "simulator": dict(simulator),
        "episodes": list(episodes),
        "routes": _by_route(episodes) if driving else [],
        "summary": {name: dataclasses.asdict(value) for name, value in summary_of(episodes).items()},
    }


def summary_of(episodes: Sequence[Metrics]) -> dict[str, Any]:
    """Mean and interval of every metric: those of driving, or of any other task the return and the length."""
    if "success" in episodes[0]:
        return dict(summarise(episodes))
    return {name: student([float(episode[name]) for episode in episodes]) for name in ("return", "length")}


def headline(means: Mapping[str, float], episodes: int) -> str:
    """The most important metrics in a line."""
    if "success" in means:
        return (
            f"success {means['success']:.0%} of {episodes}, route completion {means['route_completion']:.0%}, "
            f"return {means['return']:.1f}"
        )
    return f"return {means['return']:.1f} over {episodes} episodes of {means['length']:.0f} steps"


def table(result: Mapping[str, Any]) -> str:
    """A report as text: a row for each route of a suite, then mean and 95 % interval of every metric."""
    lines = [_PRIVILEGED.format(result["policy"]), ""] if result["privileged"] else []
    if result["suite"]:
        lines += [f"{'route':<18}{'kind':<10}{'length':>8}{'success':>9}{'completion':>12}   ended by"]
        for row in result["routes"]:
            success = f"{row['successes']}/{row['episodes']}"
            lines.append(
                f"{row['route']:<18}{row['kind']:<10}{row['length_m']:>6.0f} m{success:>9}"
                f"{row['route_completion']:>12.0%}   {', '.join(row['reasons'])}"
            )
        lines.append("")
    lines.append(f"{'metric':<32}{'mean':>12}   95 % interval over the episodes of this policy")
    for name, value in result["summary"].items():
        interval = "" if value["low"] is None else f"{value['low']:.3f} .. {value['high']:.3f}"
        lines.append(f"{name:<32}{value['mean']:>12.3f}   {interval}")
    return "\n".join(lines)


def task_name(driver: str, result: Mapping[str, Any]) -> str:
    """A file's name without its ending: a drive of another policy, task or simulator has another one.

    `result` has at least suite, route, scenario, changes, seed and simulator, as `report` gives them.
    """
    where = re.sub(r"[^A-Za-z0-9.-]+", "_", result["suite"] or result["route"])
    scenario = "" if result["scenario"] is None else f"_scenario-{result['scenario']}"
    changes = "".join(
        f"_{key.rpartition('.')[2]}-{re.sub(r'[^A-Za-z0-9.,-]+', '-', str(value))}"
        for key, value in sorted(result["changes"].items())
    )
    simulator = str(result["simulator"]["simulator"]).replace(" ", "-")
    return f"{driver}_{where}{scenario}{changes}_seed-{result['seed']}_{simulator}"


def result_path(workdir: Path, result: Mapping[str, Any]) -> Path:
    """Where a report is written."""
    driver = f"step-{result['step']:07d}" if result["policy"] == NETWORK else result["policy"]
    return workdir / "evaluations" / f"{task_name(driver, result)}.json"


def recordings_of(
    workdir: Path,
    *,
    policy: str,
    step: int | None,
    seed: int,
    env: AnyEnvConfig,
    simulator: Mapping[str, Any],
    suite: str | None = None,
    changes: Mapping[str, Any] = _NOTHING,
) -> Recordings:
    """Where the recordings go of an evaluation that `report`, given the same, tells of."""
    result = {"policy": policy, "step": step, "seed": seed, **_task(env, suite, changes), "simulator": simulator}
    path = result_path(workdir, result)
    return Recordings(path.parent, path.stem, str(simulator["map"]))


def _task(env: AnyEnvConfig, suite: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "suite": suite,
        "route": None if suite else env.route if isinstance(env, EnvConfig) else env.id,
        "scenario": env.scenario if isinstance(env, EnvConfig) else None,
        "changes": dict(changes),
    }


def _by_route(episodes: Sequence[Metrics]) -> list[dict[str, Any]]:
    """One row for every route that was driven, in the order of the first drives; `kind` of a suite's routes alone."""
    rows = []
    for route in dict.fromkeys(episode["route"] for episode in episodes):
        driven = [episode for episode in episodes if episode["route"] == route]
        rows.append(
            {
                "route": route,
                "kind": suite_route(route)[1].kind if "/" in route else None,
                "length_m": driven[0]["route_m"],
                "episodes": len(driven),
                "successes": sum(episode["success"] for episode in driven),
                "route_completion": float(np.mean([episode["route_completion"] for episode in driven])),
                "reasons": sorted({episode["reason"] for episode in driven}),
            }
        )
    return rows
