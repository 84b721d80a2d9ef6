"""A whole training on a cluster of two nodes, one of which is killed half-way: does it still learn to drive?

python -m robustness.faults.node_lost --workdir DIR [--steps 10000] [--lag 64] [--json FILE]

Both nodes are on this machine, with an environment each that acts for itself. All processes of one node are killed at
the middle step, and another node joins. The training is that of configs/town01.py on route 0. The table has its last
evaluation, what was lost, and how old actions were.
"""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from avtd3_jax import runtime
from avtd3_jax.report.event_files import read_scalars
from reporting.machine import machine
from reporting.publish import parser, publish
from robustness.faults.ledger import books
from robustness.faults.ray_nodes import RayNodes
from robustness.faults.training import Training

_PATIENCE_S = 3600.0  # for a step, evaluations included, on a machine that others keep busy
_NODES = 2


def main() -> int:
    """The command; its exit code is 1 where the training failed, lost more, or does not reach its goal every time."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leaves no training behind
    options = parser(__doc__)
    options.add_argument("--workdir", type=Path, required=True)
    options.add_argument("--steps", type=int, default=10_000)
    options.add_argument("--lag", type=int, default=64, help="updates that the parameters of an action may be old")
    args = options.parse_args()
    runtime.setup("cpu")
    where = machine()
    row = trained(args.workdir, args.steps, args.lag)
    publish([row], where, args.json)
    return int(row["success"] < 1.0 or row["missing"] > 0)


def trained(workdir: Path, steps: int, lag: int) -> dict[str, Any]:
    """The row. Raises SystemExit where the training does not end well."""
    values = {
        "num_envs": _NODES,
        "total_steps": steps,
        "eval_every": steps // 2,
        "fleet.backend": "ray",
        "fleet.max_lag_updates": lag,
        "fleet.chunk_steps": 8,
        "sim.start_timeout_s": 240.0,
    }
    began = time.monotonic()
    with (
        RayNodes(_NODES) as nodes,
        Training(workdir, {**values, "fleet.address": nodes.address}, base={}) as training,
    ):
        training.reach(steps // 2, _PATIENCE_S)
        killed_s = time.monotonic()
        nodes.kill(0)
        if code := training.finish(_PATIENCE_S):
            raise SystemExit(f"node_lost: the training ended with {code}: {training.last_words()}")
        torn = list(training.torn)
    found = books(workdir, torn)
    lags = read_scalars(workdir / "tensorboard")["fleet/lag_updates_max"].values
    last = json.loads((workdir / "evaluations.jsonl").read_text().splitlines()[-1])
    return {
        "steps": found.steps,
        "updates": last["update"],
        "episodes torn": found.torn,
        "missing": found.missing,
        "back after s": round(torn[0].said_at - killed_s, 1) if torn else "",
        "greatest lag": max(lags),
        "evaluated": last["episodes"],
        "success": last["success"],
        "route completion": last["route_completion"],
        "minutes": round((time.monotonic() - began) / 60.0, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
