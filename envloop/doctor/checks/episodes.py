"""The environment as a training uses it: episodes by seed, speed, memory."""

import contextlib
import time
from collections.abc import Iterator

import numpy as np
import psutil

from envloop.config import EnvConfig
from envloop.doctor.finding import Check, Finding, judged
from envloop.doctor.subject import Subject
from envloop.env import CarlaEnv
from envloop.task.scenario import RANDOM

_SEED = 7
_DRIVEN_STEPS = 20
_LEAST_STEPS_PER_S = 2.0
_MUCH_MB, _TOO_MUCH_MB = 20.0, 200.0  # for every hundred resets
_WARM_UP = 0.25  # of the resets: caches fill
_NOISE_MB = 10.0  # less in all is none
_SAME = 1e-5


@contextlib.contextmanager
def _environment(subject: Subject) -> Iterator[CarlaEnv]:
    """The driving task without others, on random routes of the simulator's map."""
    env = CarlaEnv(EnvConfig(simulator=subject.simulator.config, route=RANDOM), subject.simulator)
    try:
        yield env
    finally:
        env.close()


def _by_seed(subject: Subject) -> Finding:
    with _environment(subject) as env:
        drives = [_drive(env) for _ in range(2)]
    (pictures, vectors), (others, other_vectors) = drives
    pixels = max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(pictures, others, strict=False))
    numbers = max(float(np.abs(a - b).max()) for a, b in zip(vectors, other_vectors, strict=False))
    same_length = len(vectors) == len(other_vectors)
    return judged(
        fails=False,
        warns=pixels > 0.0 or numbers > _SAME or not same_length,
        measured=f"{len(vectors)} observations twice: numbers {numbers:.2g} apart at most, pictures {pixels:.2g}",
        advice="The simulator is not the same twice, so neither is a run of one seed: train and compare several seeds.",
        values={"observations": len(vectors), "numbers_apart": numbers, "pictures_apart": pixels},
    )


def _drive(env: CarlaEnv) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Pictures and vectors of the first steps of the episode of one seed."""
    observation, _ = env.reset(seed=_SEED, options={"start": "beginning"})
    seen = [observation]
    for _ in range(_DRIVEN_STEPS):
        observation, _, terminated, truncated, _ = env.step(np.array([0.02, 0.6], np.float32))
        seen.append(observation)
        if terminated or truncated:
            break
    return [o["image"][-1] for o in seen], [o["vector"] for o in seen]


SEED = Check("episode by seed", "One seed and the same actions give one episode, twice", _by_seed)


def _speed(subject: Subject) -> Finding:
    with _environment(subject) as env:
        env.reset(seed=_SEED, options={"start": "beginning"})
        steps_s, resets_s = [], []
        for i in subject.counted(subject.effort.steps):
            start = time.perf_counter()
            *_, terminated, truncated, _ = env.step(np.array([0.0, 0.3], np.float32))
            steps_s.append(time.perf_counter() - start)
            if terminated or truncated:
                start = time.perf_counter()
                env.reset(seed=_SEED + i, options={"start": "beginning"})
                resets_s.append(time.perf_counter() - start)
        real_time = 1.0 / env.config.decision_s
    rate = len(steps_s) / sum(steps_s)
    reset = f", a reset {1e3 * np.mean(resets_s):.0f} ms" if resets_s else ""
    return judged(
        fails=rate < _LEAST_STEPS_PER_S,
        warns=rate < real_time,
        measured=f"{rate:.0f} steps/s, {rate / real_time:.1f} times real time{reset}",
        advice="Training takes as long as the simulator: use -quality-level=Low, a free GPU, a server on this machine, "
        "or several servers (num_envs).",
        values={"steps_per_s": rate, "reset_ms": 1e3 * float(np.mean(resets_s)) if resets_s else None},
    )


SPEED = Check("speed of steps", "The task runs faster than real time", _speed)


def _memory(subject: Subject) -> Finding:
    ours, server = psutil.Process(), _process(subject.server_pid)
    client_mb, server_mb = [], []
    with _environment(subject) as env:
        for i in subject.counted(subject.effort.resets):
            env.reset(seed=i)
            env.step(np.zeros(2, np.float32))
            client_mb.append(ours.memory_info().rss / 1e6)
            if server is not None:
                server_mb.append(server.memory_info().rss / 1e6)
    client, of_server = _growth(client_mb), _growth(server_mb) if server_mb else None
    most = max((_growth(values) for values in (client_mb, server_mb) if _has_grown(values)), default=0.0)
    said = f"the server's {of_server:+.1f} MB" if of_server is not None else "the server's not known"
    return judged(
        fails=most > _TOO_MUCH_MB,
        warns=most > _MUCH_MB or of_server is None,
        measured=f"for every 100 of {len(client_mb)} resets: {said}, this process {client:+.1f} MB",
        advice="Run the server on this machine as the same user, so that its memory can be read."
        if of_server is None and most <= _MUCH_MB
        else "The server has to be restarted now and then: give it a limit of memory, and a supervisor that starts it "
        "again; a run waits for it and goes on.",
        values={
            "resets": len(client_mb),
            "server_mb_per_100": of_server,
            "client_mb_per_100": client,
            "server_mb": server_mb[-1] if server_mb else None,
        },
    )


def _process(pid: int | None) -> psutil.Process | None:
    try:
        return None if pid is None else psutil.Process(pid)
    except psutil.Error:
        return None


def _settled(megabytes: list[float]) -> list[float]:
    return megabytes[int(_WARM_UP * len(megabytes)) :]


def _has_grown(megabytes: list[float]) -> bool:
    """By more than what a process takes and gives back anyhow."""
    settled = _settled(megabytes)
    return bool(settled) and max(settled) - min(settled) > _NOISE_MB


def _growth(megabytes: list[float]) -> float:
    """MB for every hundred of the values, by a line through those after the warm-up."""
    settled = _settled(megabytes)
    return 100.0 * float(np.polyfit(np.arange(len(settled)), settled, 1)[0])


MEMORY = Check("memory", "Episodes without end fit into memory", _memory)
