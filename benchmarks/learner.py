"""How many TD3 updates a second, against PyTorch on the same mathematics, Stable-Baselines3, and the hardware's floor?

python -m benchmarks.learner [--batches 256 64] [--encoder-grads both critic] [--compute float32 bfloat16]
    [--rounds 5] [--seconds 4] [--json FILE]

Every contender is a process; they take turns, so a round's ratio compares neighbours in time. "x ours" is the median
over rounds of the first row's rate over theirs, "x best PyTorch" that of a row of ours over the fastest of all the
PyTorch rows, whatever it computes in. SB3's mathematics is another (see benchmarks/rivals/sb3.py).
"""

import os
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from avtd3_jax import runtime
from avtd3_jax.cpu import conv
from avtd3_jax.cpu.code.emitter import registers
from avtd3_jax.settings.config_file import load
from benchmarks import floor
from benchmarks.common import OF_RECORD
from benchmarks.contenders import (
    ACTION,
    OBS,
    OPTAX_ADAM,
    TORCH,
    VARIANTS,
    XLA_DENSE,
    Contender,
    ContenderError,
    Spec,
    random_batch,
)
from reporting.machine import machine
from reporting.publish import Spread, parser, publish

DTYPES: tuple[conv.Dtype, ...] = ("float32", "bfloat16")
COMPUTED = {XLA_DENSE: ("bfloat16",), OPTAX_ADAM: ("float32",), "SB3": ("float32",)}  # the others in both


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--batches", type=int, nargs="+", default=[256, 64])
    options.add_argument("--encoder-grads", nargs="+", default=["both", "critic"], choices=["both", "critic"])
    options.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    options.add_argument("--compute", nargs="+", default=list(DTYPES), choices=DTYPES)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=4.0, help="per contender and round")
    options.add_argument("--device", default="cpu", choices=["cpu", "gpu"])
    options.add_argument("--cores", type=int, default=None, help="allowed to every contender; all unless given")
    args = options.parse_args()
    if args.cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])  # inherited by the contenders

    rows = []
    for batch in args.batches:
        for encoder_grad in args.encoder_grads:
            base = Spec("ours", batch=batch, encoder_grad=encoder_grad, device=args.device)
            specs = [
                replace(base, variant=variant, compute_dtype=dtype)
                for variant in args.variants
                for dtype in args.compute
                if dtype in COMPUTED.get(variant, DTYPES)
            ]
            rows += race(specs, args.rounds, args.seconds)
    info = runtime.setup(args.device, option="--device")
    rates = floor_rates([row["compute"] for row in rows], info.platform, args.seconds)
    rows = [with_floor(row, rates) for row in rows] + rates
    publish(rows, machine() | {"device": f"{info.device} ({info.device_kind})"}, args.json)


def race(
    specs: Sequence[Spec], rounds: int, seconds: float, *, at_once: bool = False, build_timeout_s: float = 600.0
) -> list[dict[str, Any]]:
    """One row a spec: its rate, and the first spec's rate over it; or, of one that fails, why.

    `at_once` lets them build beside each other, which is quicker and makes "build s" say less.
    """
    running: dict[int, Contender] = {}
    rows: list[dict[str, Any]] = []
    rates: dict[int, list[float]] = {number: [] for number in range(len(specs))}
    try:
        for number, spec in enumerate(specs):
            rows.append(
                {
                    "what": spec.variant,
                    "batch": spec.batch,
                    "encoder_grad": spec.encoder_grad,
                    "compute": spec.compute_dtype,
                    "feed": spec.feed,
                    "updates/dispatch": spec.at_once,
                }
            )
            running[number] = Contender(spec)
            if not at_once:
                _built(running, number, rows, build_timeout_s)
        if at_once:
            deadline = time.monotonic() + build_timeout_s
            for number in list(running):
                _built(running, number, rows, max(deadline - time.monotonic(), 1.0))
        for _ in range(rounds):
            for number in list(running):
                try:
                    rates[number].append(running[number].rate(seconds))
                except ContenderError as error:
                    _out(running, number, rows, error)
    finally:
        for contender in running.values():
            contender.close()
    for number in running:
        rows[number]["updates/s"] = Spread.of(rates[number])
        if 0 in running:
            turns = zip(rates[0], rates[number], strict=True)
            rows[number]["x ours"] = statistics.median(ours / theirs for ours, theirs in turns)
    _against_torch(rows, rates, running)
    for number in running:
        print({name: str(value) for name, value in rows[number].items()}, flush=True)
    return rows


def _against_torch(rows: list[dict[str, Any]], rates: Mapping[int, list[float]], running: Iterable[int]) -> None:
    """Gives our rows the median over rounds of their rate over that of the best PyTorch."""
    torch = [number for number in running if rows[number]["what"] in TORCH]
    if not torch:
        return
    best = max(torch, key=lambda number: statistics.median(rates[number]))
    for number in running:
        if rows[number]["what"].startswith("ours"):
            turns = zip(rates[number], rates[best], strict=True)
            rows[number]["x best PyTorch"] = statistics.median(ours / theirs for ours, theirs in turns)


def _built(running: dict[int, Contender], number: int, rows: list[dict[str, Any]], timeout: float) -> None:
    try:
        rows[number]["build s"] = running[number].build_s(timeout)
    except ContenderError as error:
        _out(running, number, rows, error)


def _out(running: dict[int, Contender], number: int, rows: list[dict[str, Any]], error: ContenderError) -> None:
    running.pop(number).close()
    rows[number]["note"] = str(error)
    print(rows[number], flush=True)


def floor_rates(dtypes: Sequence[str], platform: str, seconds: float) -> list[dict[str, Any]]:
    """What bounds an update, as rows: the matrix throughput of every type, and the bandwidth from the host."""
    size = 2048 if platform == "cpu" else 8192
    rows: list[dict[str, Any]] = []
    for dtype in dict.fromkeys(dtypes):
        if platform == "cpu" and dtype == "bfloat16" and registers().bfloat16:  # XLA's product does not use them
            what, value = "bfloat16 products of pairs in registers", floor.pairs_gflops(seconds)
        else:
            what, value = f"{dtype} matrix product {size}^2", floor.matmul_gflops(dtype, size, seconds)
        rows.append({"what": f"floor: {what}, GFLOP/s", "compute": dtype, "value": value})
    bandwidth = floor.transfer_gb_s(floor.batch_bytes(random_batch(256)), seconds)
    return [*rows, {"what": "floor: host to device, GB/s", "value": bandwidth}]


def with_floor(row: dict[str, Any], rates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`row` with its rate as a percentage of the floor.

    The floor of an update is its matrix products at the measured matrix throughput of its type, or, where batches come
    from the host, their bytes at the measured bandwidth, whichever takes longer: the two can overlap.
    """
    throughput = {rate["compute"]: rate["value"] for rate in rates if "compute" in rate}
    (bandwidth,) = [rate["value"] for rate in rates if "compute" not in rate]
    config = replace(load(OF_RECORD).agent, encoder_grad=row["encoder_grad"])
    gflop = floor.update_gflop(OBS, ACTION, config, row["batch"])
    limit = throughput[row["compute"]] / gflop
    if row["feed"] == "replay":
        limit = min(limit, bandwidth / (floor.batch_bytes(random_batch(row["batch"])) / 1e9))
    if "updates/s" not in row or row["what"] == "SB3":  # its mathematics is another
        return row | {"GFLOP": gflop}
    return row | {"% of floor": 100.0 * row["updates/s"].median / limit, "GFLOP": gflop}


if __name__ == "__main__":
    main()
