"""What acts beside an environment: the agent's own `act` by JAX on one thread, or the same network in NumPy?

python -m benchmarks.acting [--encoders nature small] [--steps 300] [--repetitions 5] [--json FILE]

Each is a process of its own, with one thread; its memory is what it does not share, its start the time from nothing to
the first action, with a warm compile cache. The network is that of configs/town01.py. NumPy has the convolutions as
matrix products of sliding windows, and no other encoders than these; the two actions are compared first.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

from benchmarks.common import since_start
from reporting.machine import machine
from reporting.publish import Spread, parser, publish

_ONE_THREAD = {"NPROC": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_STRIDES = {"nature": (4, 2, 1), "small": (4, 2, 2)}


def numpy_policy(params: Any, strides: tuple[int, ...], image: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """uint8 [S, H, W] and float32 [D] -> [A]."""
    encoder, actor = params["encoder"], params["actor"]["mlp"]
    x = np.ascontiguousarray(image.transpose(1, 2, 0)).astype(np.float32) / np.float32(255.0)
    for number, stride in enumerate(strides):
        kernel, bias = (encoder["cnn"][f"Conv_{number}"][name] for name in ("kernel", "bias"))
        size, features = kernel.shape[0], kernel.shape[-1]
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1))[::stride, ::stride]
        rows = windows.transpose(0, 1, 3, 4, 2).reshape(-1, kernel[..., 0].size)
        x = np.maximum(rows @ kernel.reshape(-1, features) + bias, 0.0).reshape(*windows.shape[:2], features)
    x = x.reshape(-1) @ encoder["trunk"]["kernel"] + encoder["trunk"]["bias"]
    x = (x - x.mean()) / np.sqrt(x.var() + np.float32(1e-6))
    x = np.concatenate([np.tanh(x * encoder["trunk_norm"]["scale"] + encoder["trunk_norm"]["bias"]), vector])
    for layer in ("Dense_0", "Dense_1"):
        x = np.maximum(x @ actor[layer]["kernel"] + actor[layer]["bias"], 0.0)
    return np.tanh(x @ actor["Dense_2"]["kernel"] + actor["Dense_2"]["bias"])


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--encoders", nargs="+", default=list(_STRIDES), choices=list(_STRIDES))
    options.add_argument("--steps", type=int, default=300, help="of a repetition")
    options.add_argument("--repetitions", type=int, default=5)
    args = options.parse_args()
    where, rows = machine(), []
    for encoder in args.encoders:
        asked = {"encoder": encoder, "shapes": _shapes(encoder), "steps": args.steps, "repetitions": args.repetitions}
        _ask({"kind": "jax", **asked})  # fills the compile cache
        found = {kind: _ask({"kind": kind, **asked}) for kind in ("jax", "NumPy")}
        differ = np.abs(np.subtract(found["jax"].pop("action"), found["NumPy"].pop("action"))).max()
        if not differ < 1e-4:
            raise SystemExit(f"acting: the two act differently, by {differ:g}")
        for kind, row in found.items():
            spreads = {name: Spread.of(value) if isinstance(value, list) else value for name, value in row.items()}
            rows.append({"encoder": encoder, "by": kind, **spreads})
    publish(rows, where, args.json)


def child() -> None:
    """A row, as JSON on standard output, of what standard input asks for."""
    asked = json.load(sys.stdin)
    params = _filled(asked["shapes"])
    act = _jax(asked["encoder"], params) if asked["kind"] == "jax" else _numpy(asked["encoder"], params)
    image = np.random.default_rng(0).integers(0, 256, (4, 84, 84), np.uint8)
    vector = np.linspace(-1.0, 1.0, 23, dtype=np.float32)
    action = act(image, vector)
    start_s, steps = since_start(), asked["steps"]
    wall, cpu = [], []
    for _ in range(asked["repetitions"]):
        began, worked = time.perf_counter(), time.process_time()
        for _ in range(steps):
            act(image, vector)
        wall.append(1e3 * (time.perf_counter() - began) / steps)
        cpu.append(1e3 * (time.process_time() - worked) / steps)
    megabytes = psutil.Process().memory_full_info().uss / 1e6
    row = {"ms": wall, "CPU ms": cpu, "MB": round(megabytes), "start s": round(start_s, 1)}
    print(json.dumps({**row, "action": np.asarray(action).tolist()}))


def _ask(asked: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", "from benchmarks.acting import child; child()"],
        input=json.dumps(asked).encode(),
        env={**os.environ, **_ONE_THREAD},
        stdout=subprocess.PIPE,
        check=True,
    )
    row: dict[str, Any] = json.loads(done.stdout)
    return row


Act = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _agent(encoder: str) -> Any:
    from avtd3_jax import runtime  # the process that does without JAX does without this
    from avtd3_jax.agent.config import TD3Config
    from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
    from avtd3_jax.agent.td3 import TD3

    runtime.setup("cpu")
    return TD3(ObsSpec((4, 84, 84), 23), ActionSpec(2), TD3Config(encoder=encoder))


def _shapes(encoder: str) -> Any:
    """The shapes of what acts, in nested mappings."""
    import jax

    agent = _agent(encoder)
    params = jax.eval_shape(lambda: agent.acting_params(agent.init(0).params))
    return jax.tree.map(lambda leaf: list(leaf.shape), params)


def _filled(shapes: Any) -> Any:
    """Random parameters of those shapes, the same for both."""
    rng = np.random.default_rng(1)

    def fill(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {name: fill(tree[name]) for name in sorted(tree)}
        return (rng.standard_normal(tree) / np.sqrt(np.prod(tree[:-1]))).astype(np.float32)

    return fill(shapes)


def _jax(encoder: str, params: Any) -> Act:
    import jax

    agent, params = _agent(encoder), jax.device_put(params)
    return lambda image, vector: agent.act(params, {"image": image, "vector": vector})


def _numpy(encoder: str, params: Any) -> Act:
    return lambda image, vector: numpy_policy(params, _STRIDES[encoder], image, vector)


if __name__ == "__main__":
    main()
