"""What do adding and sampling cost, against a plain copy of the same bytes and Stable-Baselines3's DictReplayBuffer?

python -m benchmarks.replay [--batch 256] [--filled 100000] [--capacity 1000000] [--json FILE]

--capacity N really fills N transitions in a process of their own and reports by how much its resident memory grew.
"""

import multiprocessing
import time
from collections.abc import Callable
from importlib import util
from typing import Any

import numpy as np
import psutil

from avtd3_jax.agent.spaces import ObsSpec
from avtd3_jax.replay.replay import FrameReplay
from benchmarks import floor
from benchmarks.common import repeat, seconds
from benchmarks.contenders import ACTION, OBS, random_replay
from reporting.machine import machine
from reporting.publish import Spread, parser, publish


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--batch", type=int, default=256)
    options.add_argument("--filled", type=int, default=50_000, help="transitions in the replay that is timed")
    options.add_argument("--capacity", type=int, default=0, help="also fill so many transitions and measure the memory")
    options.add_argument("--calls", type=int, default=200, help="per repetition")
    options.add_argument("--repetitions", type=int, default=7)
    args = options.parse_args()

    replay = random_replay(args.filled)
    rows: list[dict[str, Any]] = [
        {"what": f"sample {args.batch}, ours", "ms": per_call(lambda: replay.sample(args.batch), args)},
        {"what": f"sample {args.batch}, plain copy of its bytes", "ms": plain_copy(replay, args)},
        {"what": "add, ours", "ms": adding(replay, args)},
    ]
    if util.find_spec("stable_baselines3"):
        rows += stable_baselines3(args)
    rows[1] |= {"x plain copy": 1.0}
    for row in rows:
        if row["what"].startswith("sample"):
            row["x plain copy"] = row["ms"].median / rows[1]["ms"].median
    if args.capacity:
        rows.append(memory(args.capacity))
    publish(rows, machine(), args.json)


def per_call(call: Callable[[], Any], args: Any) -> Spread:
    """Milliseconds of one call."""

    def calls() -> None:
        for _ in range(args.calls):
            call()

    return repeat(lambda: 1e3 * seconds(calls) / args.calls, args.repetitions)


def plain_copy(replay: FrameReplay, args: Any) -> Spread:
    """Copying as many bytes as a batch has, in one piece, out of the replay's own frames into a fresh array."""
    frames = replay.rings[0].read_slots(*replay.rings[0].span)["frame"]
    count = floor.batch_bytes(replay.sample(args.batch)) // frames[0].nbytes
    rng = np.random.default_rng(0)

    def copy() -> None:
        first = rng.integers(len(frames) - count)
        frames[first : first + count].copy()

    return per_call(copy, args)


def adding(replay: FrameReplay, args: Any) -> Spread:
    """One `add` in an episode under way."""
    rng = np.random.default_rng(0)
    image, vector = np.repeat(rng.integers(0, 256, (1, 84, 84), np.uint8), 4, axis=0), np.zeros(23, np.float32)
    action = np.zeros(2, np.float32)
    observation = {"image": image, "vector": vector}
    replay.begin_episode(observation)
    return per_call(lambda: replay.add(action, 0.5, observation, False, False), args)


def stable_baselines3(args: Any) -> list[dict[str, Any]]:
    """The same of SB3's DictReplayBuffer, tenfold smaller: it takes eight times the memory."""
    from benchmarks.rivals import sb3

    buffer = sb3.replay(OBS, ACTION, max(args.filled // 10, args.batch))
    transition = sb3.random_transition(np.random.default_rng(0), OBS, ACTION)
    for _ in range(buffer.buffer_size):
        buffer.add(*transition)
    per_transition = sum(
        part.nbytes for group in (buffer.observations, buffer.next_observations) for part in group.values()
    )
    per_transition += buffer.actions.nbytes + buffer.rewards.nbytes + buffer.dones.nbytes + buffer.timeouts.nbytes
    return [
        {"what": f"sample {args.batch}, SB3 DictReplayBuffer", "ms": per_call(lambda: buffer.sample(args.batch), args)},
        {"what": "add, SB3 DictReplayBuffer", "ms": per_call(lambda: buffer.add(*transition), args)},
        {"what": "memory, SB3 DictReplayBuffer", "bytes/transition": per_transition / buffer.buffer_size},
    ]


def memory(capacity: int) -> dict[str, Any]:
    """Growth of resident memory when `capacity` observations were really stored, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        grown, transitions, spent = pool.apply(_fill, (capacity, OBS))
    return {
        "what": f"memory, ours, {transitions} transitions really stored",
        "GB": grown / 1e9,
        "bytes/transition": grown / transitions,
        "fill s": spent,
    }


def _fill(capacity: int, obs_spec: ObsSpec) -> tuple[int, int, float]:
    random_replay(64, obs_spec)  # whatever is allocated once
    process = psutil.Process()
    before, began = process.memory_info().rss, time.perf_counter()
    replay = random_replay(capacity, obs_spec)
    return process.memory_info().rss - before, len(replay), time.perf_counter() - began


if __name__ == "__main__":
    main()
