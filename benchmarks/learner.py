"""How many TD3 updates a second, against PyTorch on the same mathematics, Stable-Baselines3, and the hardware's floor?

python -m benchmarks.learner [--batches 256 64] [--encoder-grads both critic] [--rounds 5] [--seconds 4] [--json FILE]

Every contender is a process; they take turns, so a round's ratio compares neighbours in time. "x ours" is the median
over rounds of our rate over theirs. SB3's mathematics is another (see benchmarks/rivals/sb3.py).
"""

import os
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from avtd3_jax import runtime
from avtd3_jax.learner import TD3Config
from benchmarks import floor
from benchmarks.common import Spread, machine, parser, publish
from benchmarks.contenders import ACTION, OBS, VARIANTS, Contender, Spec, random_batch


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--batches", type=int, nargs="+", default=[256, 64])
    options.add_argument("--encoder-grads", nargs="+", default=["both", "critic"], choices=["both", "critic"])
    options.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
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
            specs = [replace(base, variant=variant) for variant in args.variants]
            rows += race(specs, args.rounds, args.seconds)
    info = runtime.setup(args.device)
    rows = add_floor(rows, info.platform, args.seconds)
    publish(rows, machine() | {"device": f"{info.device} ({info.device_kind})"}, args.json)


def race(specs: Sequence[Spec], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """One row a spec: its rate, and the first spec's rate over it."""
    contenders: list[Contender] = []
    try:
        for spec in specs:
            contenders.append(Contender(spec))
        rates = [[contender.rate(seconds) for contender in contenders] for _ in range(rounds)]
        builds = [contender.ready["build_s"] for contender in contenders]
    finally:
        for contender in contenders:
            contender.close()
    rows = []
    for number, (spec, build) in enumerate(zip(specs, builds, strict=True)):
        row = {
            "what": spec.variant,
            "batch": spec.batch,
            "encoder_grad": spec.encoder_grad,
            "compute": spec.compute_dtype,
            "feed": spec.feed,
            "updates/s": Spread.of([turn[number] for turn in rates]),
            "x ours": statistics.median(turn[0] / turn[number] for turn in rates),
            "build s": build,
        }
        rows.append(row)
        print({name: str(value) for name, value in row.items()}, flush=True)
    return rows


def add_floor(rows: Sequence[dict[str, Any]], platform: str, seconds: float) -> list[dict[str, Any]]:
    """`rows` with each rate as a percentage of the floor, and the floor's own two rates.

    The floor of an update is its matrix products at the measured matrix throughput of its type, or its bytes at the
    measured bandwidth, whichever takes longer: the two can overlap.
    """
    size = 2048 if platform == "cpu" else 8192
    throughput = {dtype: floor.matmul_gflops(dtype, size, seconds) for dtype in {row["compute"] for row in rows}}
    bandwidth = floor.transfer_gb_s(floor.batch_bytes(random_batch(256)), seconds)
    done = []
    for row in rows:
        config = TD3Config(encoder_grad=row["encoder_grad"])
        gflop = floor.update_gflop(OBS, ACTION, config, row["batch"])
        gbytes = floor.batch_bytes(random_batch(row["batch"])) / 1e9
        limit = min(throughput[row["compute"]] / gflop, bandwidth / gbytes)
        of_floor = None if row["what"] == "SB3" else 100.0 * row["updates/s"].median / limit
        done.append(row | {"% of floor": of_floor, "GFLOP": gflop})
    for dtype, rate in throughput.items():
        done.append({"what": f"floor: {dtype} matrix product {size}^2, GFLOP/s", "value": rate})
    done.append({"what": "floor: host to device, GB/s", "value": bandwidth})
    return done


if __name__ == "__main__":
    main()
