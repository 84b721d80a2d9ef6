"""Does a stock client survive resets of an asynchronous world beside a Traffic Manager, and is what it sees right?

nice -n 15 python -m robustness.resets [--resets 100] [--cars 50] [--json FILE]

Each kind of world gets a server and a client of its own (`robustness.resets.client`). The wheel's process can end by
itself; then another one goes on, and the row has the ends and the last words. Ends with 1 if there was anything wrong.
"""

import subprocess
import sys
import time
from typing import Any

from envloop.free_ports import free_ports
from reporting.machine import machine
from reporting.publish import parser, publish

WORLDS = {"real time": 0.0, "fixed step of 0.05 s": 0.05}
PATIENCE_S = 120.0  # for one reset


def main() -> int:
    """The command; its exit code."""
    options = parser(__doc__)
    options.add_argument("--resets", type=int, default=100)
    options.add_argument("--cars", type=int, default=50)
    args = options.parse_args()
    where = machine()
    rows = [soak(world, delta, args.resets, args.cars) for world, delta in WORLDS.items()]
    publish(rows, where, args.json)
    return 1 if any(row["clients that ended"] or row["elsewhere"] or row["left"] for row in rows) else 0


def soak(world: str, delta_s: float, resets: int, cars: int) -> dict[str, Any]:
    """So many resets of one kind of world, and what came of them."""
    began, ends, words = time.monotonic(), 0, ""
    done: list[list[int]] = []
    server = subprocess.Popen(
        [sys.executable, "-m", "minicarla", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().split("port=")[1].split()[0])
        while len(done) < resets and ends < resets:
            command = [sys.executable, "-m", "robustness.resets.client", str(port), str(free_ports())]
            command += ["--resets", str(resets - len(done)), "--cars", str(cars), "--delta", str(delta_s)]
            command += ["--seed", str(ends)]
            limit_s = PATIENCE_S * (resets - len(done))
            client = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
            done += [[int(number) for number in line.split()] for line in client.stdout.splitlines()]
            if client.returncode:
                ends += 1
                words = f"{client.returncode}: {(client.stderr.splitlines() or [''])[-1]}"
    finally:
        server.terminate()
        server.communicate()
    spawned, elsewhere, driving, left = (sum(column) for column in zip(*done, strict=True))
    row = {"world": world, "resets": len(done), "minutes": (time.monotonic() - began) / 60.0, "cars": spawned}
    row |= {"elsewhere": elsewhere, "drove": driving, "left": left, "clients that ended": ends, "last words": words}
    return row


if __name__ == "__main__":
    raise SystemExit(main())
