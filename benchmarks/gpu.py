"""Every GPU benchmark in one call of under nine minutes, so that it can be run again at any time.

python -m benchmarks.gpu [--json FILE] [--limit 520]        on a machine with an NVIDIA GPU
python -m benchmarks.gpu --dry-run                          the same steps on the CPU with tiny sizes

The sections come in order of importance; one that would start after the limit is left out, and named. Without
PyTorch or Stable-Baselines3 their rows are left out too.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from importlib import util
from typing import Any

from avtd3_jax import runtime
from benchmarks.common import machine, parser, publish
from benchmarks.contenders import Spec
from benchmarks.learner import add_floor, race

TORCH = ("torch eager", "torch eager NHWC", "torch compiled")


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--dry-run", action="store_true", help="on the CPU, with tiny sizes")
    options.add_argument("--limit", type=float, default=520.0, help="seconds after which no section starts")
    args = options.parse_args()
    began = time.perf_counter()
    info = runtime.setup("cpu" if args.dry_run else "gpu")

    rows: list[dict[str, Any]] = []
    for name, section in sections(args.dry_run):
        spent = time.perf_counter() - began
        if spent > args.limit:
            rows.append({"what": f"left out after {spent:.0f} s: {name}"})
            continue
        rows += section()
        if args.json is not None:  # what is measured is kept, whatever happens later
            publish(rows, machine() | {"device": f"{info.device} ({info.device_kind})"}, args.json)
    publish(rows, machine() | {"device": f"{info.device} ({info.device_kind})"}, args.json)


def sections(dry_run: bool) -> list[tuple[str, Callable[[], list[dict[str, Any]]]]]:
    """Name and work of each section."""
    batch, rounds, seconds = (8, 1, 0.2) if dry_run else (256, 5, 2.0)
    base = Spec("ours", batch=batch, feed="replay", device="cpu" if dry_run else "gpu", small=dry_run)
    rivals = TORCH if util.find_spec("torch") else ()
    best = rivals[:1] if dry_run else rivals[-1:]  # compiling takes a minute
    sb3 = ("SB3",) if util.find_spec("stable_baselines3") else ()

    def contest(first: Spec, variants: tuple[str, ...]) -> list[dict[str, Any]]:
        specs = [first, *(replace(first, variant=v, feed="fixed" if v == "SB3" else first.feed) for v in variants)]
        rows = race(specs, rounds, seconds)
        return rows if dry_run else add_floor(rows, "gpu", seconds)

    def sizes() -> list[dict[str, Any]]:
        return [
            row
            for size in ((4, 16) if dry_run else (32, 64, 128, 512, 1024))
            for row in contest(replace(base, batch=size), ())
        ]

    return [
        ("float32 from host replay", lambda: contest(base, rivals + sb3)),
        ("bfloat16 from host replay", lambda: contest(replace(base, compute_dtype="bfloat16"), best)),
        ("float32, batch on the device", lambda: contest(replace(base, feed="fixed"), best)),
        ("encoder trained by the critic alone", lambda: contest(replace(base, encoder_grad="critic"), best)),
        ("batch sizes", sizes),
    ]


if __name__ == "__main__":
    main()
