"""Makes rows: trains, evaluates the final checkpoint, and writes one JSON file a row. Safe to interrupt and to repeat.

What has been done lies in the run directories, so a repeated campaign goes on from the last checkpoint of a training
and from the last finished evaluation, and leaves finished rows alone.
"""

import fcntl
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avtd3_jax.settings.keys import leaves
from avtd3_jax.settings.run_config import changed_keys
from avtd3_jax.training.logs import to_json, write_json
from experiments import record
from experiments.experiments import EVALUATION_SEED, Task
from experiments.processes import CommandError, Processes
from experiments.rows import Row
from reporting.machine import machine

_PROGRESS_S = 60.0
_LOOK_S = 0.5  # between two looks whether another campaign has let go of a run


class CampaignError(RuntimeError):
    """A row that cannot be made from what lies in its run directory; the message names the fix."""


class Campaign:
    """Makes rows one after the other.

    Args:
      results: where the rows go.
      runs: where the run directories lie.
      episodes: of every final evaluation; None for each task's own number.
    """

    def __init__(self, results: Path, runs: Path, episodes: int | None = None) -> None:
        self._results = results.absolute()
        self._runs = runs.absolute()
        self._episodes = episodes
        self._processes = Processes()
        self._held: list[int] = []  # the lock of the row under way

    def run(self, rows: Sequence[Row]) -> int:
        """Makes the rows that are missing; the number of those that failed.

        Raises:
          Stopped: by a signal; what was done is kept.
        """
        wanted = [(row, row.config()) for row in rows]  # a key that does not exist shows before work starts
        failed = 0
        with self._processes:
            for number, (row, config) in enumerate(wanted, start=1):
                failed += not self._done(row, config, f"[{number}/{len(wanted)}] {row}")
        return failed

    def _done(self, row: Row, config: Mapping[str, Any], where: str) -> bool:
        """Makes a row unless it is there; whether it is there now."""
        path = row.path(self._results)
        if path.exists():
            print(f"{where}: done already{_drift(json.loads(path.read_text()), config)}", flush=True)
            return True
        home = row.trained_as() if row.variant.policy == "network" else row
        try:
            with self._alone(home, where):
                if path.exists():
                    print(f"{where}: done meanwhile", flush=True)
                    return True
                record.write(path, self._make(row, home, where))
        except (CampaignError, CommandError) as error:
            print(f"{where}: FAILED: {error}", flush=True)
            return False
        print(f"{where}: written", flush=True)
        return True

    @contextmanager
    def _alone(self, home: Row, where: str) -> Iterator[None]:
        """Holds a run directory for this campaign and its commands, whatever others there are, here or elsewhere."""
        path = self._runs / home.experiment.name / f"{home.name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            waits = False
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not waits:
                        print(f"{where}: another campaign is at it: waits", flush=True)
                    waits = True
                self._processes.check()
                time.sleep(_LOOK_S)
            self._held = [file.fileno()]
            yield

    def _make(self, row: Row, home: Row, where: str) -> dict[str, Any]:
        folder = self._runs / home.experiment.name / home.name
        if row.variant.policy == "network":
            self._train(home, folder, where)
        evaluations = {task.name: self._evaluate(row, task, folder, where) for task in row.experiment.tasks}
        return record.assemble(row, folder, evaluations)

    def _train(self, row: Row, folder: Path, where: str) -> None:
        config, total = row.config(), row.config()["total_steps"]
        _check_same(folder, config)
        saved = _checkpoints(folder)
        if saved and saved[-1] > total:
            raise CampaignError(f"{folder} was trained for {saved[-1]} steps, not {total}: remove it, or give --runs.")
        if _trained_steps(folder) == total:
            return
        if not saved and folder.exists():  # killed before its first checkpoint: there is nothing to go on from
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        record.note_launch(folder, machine())
        print(f"{where}: training, {f'from step {saved[-1]:,}' if saved else 'from the start'}", flush=True)
        arguments = ["--config", row.config_file, "--workdir", str(folder), *(["--resume"] if saved else [])]
        arguments += [f"--config.{key}={value}" for key, value in row.changes.items()]
        progress = Progress(where, folder, total)
        self._processes.run("avtd3_jax.train", arguments, folder / "train.log", progress, _PROGRESS_S, self._held)
        write_json(folder / record.TRAINED, {"env_steps": total})
        replay = folder / "checkpoints" / "replay"  # only needed to go on, and most of the disk
        shutil.rmtree(replay, ignore_errors=True)
        for tail in (folder / "checkpoints").glob("*/replay.safetensors"):
            tail.unlink()

    def _evaluate(self, row: Row, task: Task, folder: Path, where: str) -> dict[str, Any]:
        """The result of `avtd3_jax.evaluate`, from an earlier call where there was one."""
        episodes = self._episodes or task.episodes
        arguments = [*task.arguments, "--episodes", str(episodes), "--seed", str(EVALUATION_SEED)]
        done, work = folder / "final" / f"{task.name}.json", folder / "final" / "under-way"
        if done.exists() and (kept := json.loads(done.read_text()))["arguments"] == arguments:
            return kept["result"]
        print(f"{where}: evaluating on {task.name}, {episodes} episodes", flush=True)
        shutil.rmtree(work, ignore_errors=True)
        policy = ["--policy", row.variant.policy, "--workdir", str(work)]
        source = ["--checkpoint", str(folder)] if row.variant.policy == "network" else ["--config", row.config_file]
        log = folder / "evaluate.log"
        self._processes.run(
            "avtd3_jax.evaluate", [*source, *policy, *arguments], log, lambda: None, _PROGRESS_S, self._held
        )
        (written,) = (work / "evaluations").glob("*.json")
        result = json.loads(written.read_text())
        for episode in result["episodes"]:  # what was recorded goes with the folder
            episode.pop("clip", None)
            episode.pop("map", None)
        write_json(done, {"arguments": arguments, "result": result})
        shutil.rmtree(work)
        return result


class Progress:
    """Prints where a training stands, from what it writes: a line a call."""

    def __init__(self, where: str, folder: Path, total: int) -> None:
        self._where = where
        self._folder = folder
        self._total = total
        self._began = (time.monotonic(), self._step())

    def __call__(self) -> None:
        step = self._step()
        then, first = self._began
        elapsed = time.monotonic() - then
        # Exploration is faster than learning: the rest takes as long as the steps so far did, or longer.
        left = f", {elapsed / (step - first) * (self._total - step) / 60:.0f} min left" if step > first else ""
        last = record.last_line(self._folder / "evaluations.jsonl")
        shown = (
            f"; at {last['step']:,}: success {last['success']:.0%}, route completion {last['route_completion']:.0%}"
            if last
            else ""
        )
        print(f"{self._where}: {step:,} of {self._total:,} steps, {elapsed / 60:.0f} min{left}{shown}", flush=True)

    def _step(self) -> int:
        last = record.last_line(self._folder / "episodes.jsonl")
        return last["step"] if last else 0


def _check_same(folder: Path, config: Mapping[str, Any]) -> None:
    saved = folder / "config.json"
    if saved.exists() and (changed := changed_keys(json.loads(saved.read_text()), to_json(config))):
        raise CampaignError(
            f"{folder} was begun with another configuration ({', '.join(changed)}): remove it, or give --runs."
        )


def _drift(row: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """What has changed since a row was made; it stays as it is, and says itself what it was made with.

    Keys that are gone do not count: nobody could set them to make the row again.
    """
    today = {name for name, _ in leaves(config)}
    changed = [name for name in changed_keys(row["config"], to_json(config)) if name in today] if row["config"] else []
    return f", with another configuration than today's ({', '.join(changed)})" if changed else ""


def _checkpoints(folder: Path) -> list[int]:
    """Steps of the finished checkpoints; read off the names, without JAX."""
    return sorted(int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit())


def _trained_steps(folder: Path) -> int | None:
    path = folder / record.TRAINED
    return json.loads(path.read_text())["env_steps"] if path.exists() else None
