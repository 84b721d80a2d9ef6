"""Does any input end minicarla, hang it, or fill its memory?

python -m robustness.fuzz [--inputs 1000000] [--seed 0] [--json FILE]
python -m robustness.fuzz --replay FILE...

Inputs are recorded requests of a stock client, changed: other numbers, types, lengths, actors, order, and broken bytes.
Most go to the real server through pipes in memory, some through sockets to a server in a process of its own. Beside
them OpenDRIVE texts are changed, read, and sent. After every hundred another client must get its version, its settings
and its tick, and the memory must not have grown. What fails is written to --findings, to be repeated with --replay; the
command then ends with 1.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path

from reporting.machine import machine
from reporting.publish import parser, publish
from robustness.fuzz.maps import fuzz_maps, load_maps
from robustness.fuzz.sequences import fuzz_memory, in_processes, replay
from robustness.fuzz.sockets import fuzz_sockets


def main() -> int:
    """The command; its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leaves no process behind
    options = parser(__doc__)
    options.add_argument("--inputs", type=int, default=1_000_000, help="requests and subscriptions")
    options.add_argument("--socket-inputs", type=int, default=20_000, help="of them, through sockets")
    options.add_argument("--map-inputs", type=int, default=10_000, help="OpenDRIVE texts, beside them")
    options.add_argument("--maps-loaded", type=int, default=20, help="OpenDRIVE texts that are sent to a server")
    options.add_argument("--processes", type=int, default=1, help="that feed pipes at the same time")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    options.add_argument("--replay", type=Path, nargs="+", help="findings or other sequences to feed once more")
    args = options.parse_args()
    if args.replay:
        return asyncio.run(replay(args.replay))
    where = machine()
    in_memory = max(args.inputs - args.socket_inputs, 0)
    rows = []
    for what, count, work, parts in (
        ("requests and subscriptions, pipes", in_memory, fuzz_memory, args.processes),
        ("requests and subscriptions, sockets", args.socket_inputs, fuzz_sockets, 1),
        ("OpenDRIVE texts, read", args.map_inputs, fuzz_maps, 1),
        ("OpenDRIVE texts, sent to a server", args.maps_loaded, load_maps, 1),
    ):
        if count:
            began = time.perf_counter()
            figures = in_processes(work, args.seed, count, args.findings, parts)
            seconds = time.perf_counter() - began
            rows.append({"what": what, "inputs": count, "s": seconds, "inputs/s": count / seconds, **figures})
    publish(rows, where, args.json)
    return 1 if any(row["findings"] for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
