"""The world's clock: what a tick is, and how long it takes."""

import time

import numpy as np

from envloop.doctor.finding import Check, Finding, judged
from envloop.doctor.subject import Subject

_REAL_TIME_MS = 50.0


def _clock(subject: Subject) -> Finding:
    delta_s, ticks = subject.simulator.config.fixed_delta_s, subject.effort.ticks
    subject.simulator.tick()
    before = subject.world.get_snapshot().timestamp
    skipped = wrong = late = 0
    for _ in subject.counted(ticks):
        frame = subject.simulator.tick()
        now = subject.world.get_snapshot().timestamp
        skipped += frame != before.frame + 1
        late += now.frame != frame
        wrong += abs(now.elapsed_seconds - before.elapsed_seconds - delta_s) > 1e-4
        before = now
    return judged(
        fails=bool(skipped or wrong or late),
        measured=f"{ticks} ticks: {skipped} not the next frame, {wrong} not {delta_s:g} s, {late} without their state",
        advice="Nothing else may tick this server: end other clients. fixed_delta_seconds must be kept by the server.",
        values={"ticks": ticks, "skipped": skipped, "wrong_delta": wrong, "late_states": late},
    )


CLOCK = Check("clock", "Each tick is one frame and 0.05 s, and its state is there when the call returns", _clock)


def _latency(subject: Subject) -> Finding:
    tick_ms = [_milliseconds(subject.simulator.tick) for _ in subject.counted(subject.effort.ticks)]
    call_ms = [_milliseconds(subject.world.get_settings) for _ in range(subject.effort.ticks)]
    median, slow = np.percentile(tick_ms, (50, 95))
    call = float(np.median(call_ms))
    return judged(
        fails=slow > 1e3 * subject.timeout_s / 2,
        warns=median > _REAL_TIME_MS,
        measured=f"a tick takes {median:.1f} ms, one in twenty {slow:.1f} ms or more; a call {call:.2f} ms",
        advice="Start the server with -quality-level=Low -RenderOffScreen on a machine of its own, near this one.",
        values={"tick_median_ms": float(median), "tick_p95_ms": float(slow), "call_median_ms": call},
    )


def _milliseconds(call: object) -> float:
    start = time.perf_counter()
    call()  # type: ignore[operator]
    return 1e3 * (time.perf_counter() - start)


LATENCY = Check("tick latency", "An empty world ticks faster than real time, 50 ms", _latency)
