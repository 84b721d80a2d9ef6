"""Real runs that are killed at random moments, and go on to the same end, to the bit."""

import json
import random
import signal
import time
from pathlib import Path

import pytest
from processes import started, until
from safetensors.numpy import load_file
from test_train import command, run

from avtd3_jax.checkpoints.orbax_items import read_item

CONFIG = {
    "total_steps": 360,
    "exploration_steps": 120,
    "eval_every": 120,
    "replay.capacity": 150,  # wraps
    "agent.encoder": "small",
    "seed": 9,
}


def interrupted(arguments: list[str], workdir: Path, episodes: int, number: signal.Signals, within_s: float) -> str:
    """Sends the signal at a random moment after `episodes` episodes; what was told on stdout."""
    launched_ns = time.time_ns()

    def far_enough() -> bool:
        # The run before may have driven as many episodes: this one must have come so far that it listens to signals.
        listens = written_since(launched_ns, workdir / "provenance.json")
        return listens and len(lines(workdir / "episodes.jsonl")) >= episodes

    with started(arguments, errors="replace") as process:
        until(far_enough, process)
        time.sleep(random.uniform(0.0, within_s))
        process.send_signal(number)
        told, errors = process.communicate(timeout=100)
    assert process.returncode == (128 + number if number == signal.SIGTERM else -number), errors
    return told


def written_since(moment_ns: int, path: Path) -> bool:
    return path.exists() and path.stat().st_mtime_ns >= moment_ns


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def progress(workdir: Path) -> dict:
    """What the last checkpoint holds, but for wall time and the port of the simulator."""
    folder = workdir / "checkpoints" / str(CONFIG["total_steps"])
    index = json.loads((folder / "checkpoint.json").read_text())["content"]
    del index["extras"]["simulator"], index["extras"]["counters"]["wall_s"]
    arrays = {name: read_item(folder / name, seals=None) for name in ("params", "learner")}
    arrays["replay"] = load_file(folder / "replay.safetensors")
    bits = {f"{name}/{path}": a.tobytes() for name, of in arrays.items() for path, a in of.items()}
    return {"bits": bits, "replay": index["replay"], **index["extras"]}


@pytest.mark.parametrize("overlap", [False, True])
def test_killed_and_stopped_runs_end_as_one_that_never_was(tmp_path, overlap):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    config = {**CONFIG, "overlap": overlap}
    done = run(command(whole, **config))
    assert done.returncode == 0, done.stderr
    begin, go_on = command(broken, **config), command(broken, "--resume", **config)
    if not overlap:  # which begins to differ with the first update
        interrupted(begin, broken, 0, signal.SIGKILL, within_s=0.0)
        assert list((broken / "checkpoints").iterdir()) == []
        told = interrupted(go_on, broken, 4, signal.SIGKILL, within_s=1.0)  # exploring, or the first updates
        assert "has no checkpoint yet, its run begins anew" in told
    told = interrupted(begin if overlap else go_on, broken, 6, signal.SIGTERM, within_s=1.0)  # in mid-episode
    assert "begins anew" not in told
    done = run(go_on)
    assert done.returncode == 0, done.stderr
    mine, expected = progress(broken), progress(whole)
    assert mine.keys() == expected.keys()
    for name in mine:
        assert mine[name] == expected[name], name
    assert lines(broken / "episodes.jsonl") == lines(whole / "episodes.jsonl")
    curves = [[json.loads(line) for line in lines(folder / "evaluations.jsonl")] for folder in (broken, whole)]
    for point in [*curves[0], *curves[1]]:
        del point["wall_s"]
    assert curves[0] == curves[1]
    assert [point["step"] for point in curves[0]][-1] == CONFIG["total_steps"]
