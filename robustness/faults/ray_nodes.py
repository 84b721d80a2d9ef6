"""A Ray cluster on this machine with a node for each environment, any of which can be lost.

python -m robustness.faults.ray_nodes COUNT prints the cluster's address, does what each line says, and answers "done":
"kill N S" kills node N with all its processes, and another one joins S seconds later; "fill S" leaves no room in the
object stores for S seconds. It ends with its standard input. In a process of its own: Ray forks, which one with JAX's
threads must not.
"""

import contextlib
import subprocess
import sys
import time
from typing import Any, Self

import psutil

from reporting.publish import plain_parser
from robustness.faults.shims import Skipped

_STORE = 80 * 2**20  # bytes of a node's object store
_PIECE = 2**20
_SETTINGS = {"automatic_object_spilling_enabled": False, "local_fs_capacity_threshold": 0.0}  # no room on disk either


class RayNodes:
    """That command; use it in `with`. Raises Skipped where there is no Ray."""

    def __init__(self, count: int) -> None:
        command = [sys.executable, "-m", "robustness.faults.ray_nodes", str(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def kill(self, number: int, late_s: float = 0.0) -> None:
        """Kills all processes of node `number`, counted from the oldest; another one joins after `late_s`."""
        self._do(f"kill {number} {late_s}")

    def fill(self, for_s: float) -> None:
        """Leaves no room in any object store for so long."""
        self._do(f"fill {for_s}")

    def _do(self, order: str) -> None:
        assert self._process.stdin is not None
        print(order, file=self._process.stdin, flush=True)
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise Skipped("Ray does not start here")
        return line.strip()


class _Nodes:
    """The cluster, in the command's process."""

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE, "_system_config": _SETTINGS}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self._nodes = [self._join() for _ in range(count)]

    def kill(self, number: str, late_s: str) -> None:
        node = self._nodes.pop(int(number))
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        family = [raylet, *raylet.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10.0)
        self.cluster.worker_nodes.discard(node)
        time.sleep(float(late_s))
        self._nodes.append(self._join())

    def fill(self, for_s: str) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray.init(address=self.cluster.address, log_to_driver=False, configure_logging=False)
        task = ray.remote(_hold)
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        here = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
        there = [task.options(num_cpus=0, max_retries=0, scheduling_strategy=node) for node in here]
        filled = ray.get([one.remote(float(for_s)) for one in there])
        ray.shutdown()
        if not all(filled):
            raise SystemExit(f"ray_nodes: an object store took more than it holds: {filled}")

    def _join(self) -> Any:
        return self.cluster.add_node(num_cpus=1, object_store_memory=_STORE)


def _hold(for_s: float) -> bool:
    """Fills the node's object store and keeps it so; whether it got full."""
    import ray

    held, end, full = [], time.monotonic() + for_s, False
    while time.monotonic() < end:
        try:
            held.append(ray.put(bytes(_PIECE)))
        except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError):
            full = True
            time.sleep(0.1)
        if len(held) > 4 * _STORE // _PIECE:
            return False
    return full


def main() -> None:
    """The command."""
    options = plain_parser(__doc__)
    options.add_argument("count", type=int, help="nodes")
    args = options.parse_args()
    nodes = _Nodes(args.count)
    print(nodes.cluster.address, flush=True)
    for line in sys.stdin:
        order, *words = line.split()
        if order == "kill":
            nodes.kill(*words)
        else:
            nodes.fill(*words)
        print("done", flush=True)
    nodes.cluster.shutdown()


if __name__ == "__main__":
    main()
