"""A sweep of settings: trials drawn from a space, the worse ones stopped early, by Ray Tune with ASHA.

A file says what is swept, in TOML:

    name = "rates"                      # of its folder of results
    question = "Which rates learn route 0 soonest?"
    config = "town01"                   # of configs/
    trials = 8
    metric = "route_completion"         # of the evaluations while learning, the greater the better
    grace_steps = 2000                  # no trial is stopped before
    reduction = 3                       # of so many trials the best one goes on
    [changes]                           # of all trials; "eval_every" says how often they are compared
    total_steps = 10_000
    [space]
    "agent.actor_lr" = { log = [1e-4, 1e-2] }
    "exploration.policy_noise" = { uniform = [0.05, 0.3] }
    "replay.n_step" = { choice = [1, 3, 5] }

ASHA is Li et al. 2020, arXiv:1810.05934. Each trial leaves a row like those of the experiments.
"""

import signal
import subprocess
import time
import tomllib
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avtd3_jax.errors import ConfigError, InputError
from avtd3_jax.settings.build import build
from envloop.errors import TaskError
from envloop.workers.fleet import FleetConfig
from envloop.workers.ray_cluster import RayCluster, import_ray
from experiments import record
from experiments.bound import bound
from experiments.experiments import Changes, Experiment, Variant
from experiments.on_ray import LOCAL, room
from experiments.processes import ROOT
from experiments.rows import Row
from reporting.machine import machine

_POLL_S, _SAVING_S = 0.5, 120.0
_LAWS = {"log": 2, "uniform": 2, "choice": None}  # how a value is drawn -> how many numbers say it


@dataclass(frozen=True)
class Sweep:
    """What the file says, see above. `build` makes it, and refuses what is no key of it."""

    name: str
    question: str
    trials: int
    config: str = "town01"
    metric: str = "route_completion"
    grace_steps: int = 1_000
    reduction: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("grace_steps", 1), ("reduction", 2)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be at least {least}.")


@dataclass(frozen=True)
class Trial(Row):
    """A row of a sweep; `source` is the file that draws it again."""

    source: str = ""

    @property
    def command(self) -> str:
        """What makes it, with all others."""
        return f"python -m experiments sweep {self.source}"

    def trained_as(self) -> Row:
        """No other row shares its training."""
        return self


@dataclass(frozen=True)
class Plan:
    """A sweep whose every part has been looked at."""

    sweep: Sweep
    changes: Changes
    space: Mapping[str, tuple[str, list[Any]]]  # key -> law and its values
    source: str
    runs: Path
    cpus: float
    gpus: float
    experiment: Experiment = field(init=False)

    def __post_init__(self) -> None:
        made = Experiment(self.sweep.name, self.sweep.question, (), (), (), self.changes, self.sweep.config)
        object.__setattr__(self, "experiment", made)
        for end in (0, -1):  # keys that do not exist, and values that are refused, show before work starts
            self.trial("end", {key: values[end] for key, (_, values) in self.space.items()}).config()

    def trial(self, name: str, drawn: Changes) -> Trial:
        """The trial `name` with what was drawn for it."""
        return Trial(self.experiment, Variant(name, dict(drawn)), self.sweep.seed, {}, self.source)

    def folder(self, name: str) -> Path:
        """Of a trial's run."""
        return self.runs / "sweeps" / self.sweep.name / name


def read(path: Path, runs: Path, cpus: float, gpus: float) -> Plan:
    """The sweep in the file `path`. Raises InputError or ConfigError with what is wrong with it."""
    try:
        told = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"The sweep {path} cannot be read: {error}.") from error
    changes, space = told.pop("changes", {}), told.pop("space", {})
    sweep = build(Sweep, told, "sweep")
    if not space:
        raise InputError(f"The sweep {path} has no [space]: name a key, and how its values are drawn.")
    laws: dict[str, tuple[str, list[Any]]] = {}
    for key, law in space.items():
        ((kind, values),) = law.items() if isinstance(law, dict) and len(law) == 1 else ((None, None),)
        if kind not in _LAWS or not isinstance(values, list) or len(values) != (_LAWS[kind] or len(values) or 1):
            raise InputError(f"space.{key} is {law}: give log or uniform of two numbers, or choice of a list.")
        laws[key] = kind, values
    return Plan(sweep, changes, laws, str(path), runs.absolute(), cpus, gpus)


def run(plan: Plan, results: Path, address: str) -> int:
    """Makes the trials, as many at once as there is room for, and writes their rows; the number that failed.

    The same call goes on where one was stopped.

    Raises:
      TaskError: ray, or its part for tuning, is not installed.
      SimulatorError: the cluster cannot be used.
    """
    fleet = FleetConfig(backend="ray", address="" if address == LOCAL else address, cpus=plan.cpus, gpus=plan.gpus)
    fleet.validate()
    import_ray()
    try:
        from ray import tune
    except ImportError as error:
        raise TaskError(f"Ray's part for tuning is not installed ({error}); pip install -e '.[ray]'.") from error
    with closing(RayCluster(fleet, room(plan.sweep.trials, plan.cpus))) as cluster:
        print(f"{plan.sweep.trials} trials on Ray at {cluster}", flush=True)
        home = plan.folder("tune")
        work = tune.with_resources(_trainable(plan), {"cpu": plan.cpus, "gpu": plan.gpus})
        if tune.Tuner.can_restore(str(home)):
            tuner = tune.Tuner.restore(str(home), work, resume_unfinished=True, restart_errored=True)
        else:
            tuner = _tuner(tune, plan, work, home)
        return _write(plan, tuner.fit(), results)


def _tuner(tune: Any, plan: Plan, work: Any, home: Path) -> Any:
    from ray.tune.schedulers import ASHAScheduler

    sweep = plan.sweep
    total = plan.trial("any", {}).config()["total_steps"]
    draw = {"log": tune.loguniform, "uniform": tune.uniform}
    space = {
        key: tune.choice(values) if law == "choice" else draw[law](*values) for key, (law, values) in plan.space.items()
    }
    asha = ASHAScheduler(
        time_attr="step",
        metric=sweep.metric,
        mode="max",
        grace_period=min(sweep.grace_steps, total),
        max_t=total,
        reduction_factor=sweep.reduction,
    )
    search = tune.search.BasicVariantGenerator(random_state=sweep.seed)
    return tune.Tuner(
        work,
        param_space=space,
        tune_config=tune.TuneConfig(num_samples=sweep.trials, scheduler=asha, search_alg=search),
        run_config=tune.RunConfig(name=home.name, storage_path=str(home.parent), verbose=1),
    )


def _trainable(plan: Plan) -> Callable[[Mapping[str, Any]], None]:
    def trial(drawn: Mapping[str, Any]) -> None:
        from ray import tune

        name = tune.get_context().get_trial_id()
        train(plan.trial(name, drawn), plan.folder(name), tune.report)

    return trial


def train(trial: Trial, folder: Path, report: Callable[[dict[str, Any]], None]) -> None:
    """Trains in a process of its own, which ends with this one; reports every evaluation. RuntimeError if it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    record.note_launch(folder, machine())
    begun = (folder / "config.json").exists()
    arguments = ["--config", trial.config_file, "--workdir", str(folder), *(["--resume"] if begun else [])]
    arguments += [f"--config.{key}={value}" for key, value in trial.changes.items()]
    told = 0
    with (folder / "train.log").open("ab") as log:
        command = bound("avtd3_jax.train", arguments)
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            while True:
                ended = child.poll() is not None
                for point in record.lines(folder / "evaluations.jsonl")[told:]:
                    report(point)
                    told += 1
                if ended:
                    break
                time.sleep(_POLL_S)
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
                child.wait(_SAVING_S)
    if child.returncode:
        raise RuntimeError(f"The training ended with {child.returncode}: see {folder / 'train.log'}.")


def _write(plan: Plan, found: Any, results: Path) -> int:
    """A row for each trial that was evaluated, the best one first."""
    failed, rows = 0, []
    for result in found:
        failed += result.error is not None
        name = (result.metrics or {}).get("trial_id")
        if name and record.last_line(plan.folder(name) / "evaluations.jsonl"):
            trial = plan.trial(name, result.config)
            row = record.assemble(trial, plan.folder(name), {})
            record.write(trial.path(results.absolute()), row)
            rows.append((row["curve"][-1][plan.sweep.metric], row["training"]["env_steps"], result.config, name))
    for value, steps, drawn, name in sorted(rows, key=lambda row: (row[1], row[0]), reverse=True):
        print(f"{name}  {steps:>7,} steps  {plan.sweep.metric} {value:.3f}  {drawn}")
    return failed
