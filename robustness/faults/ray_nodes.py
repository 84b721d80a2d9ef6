"""A Ray cluster on this machine with a node for each environment, any of which can be lost.

python -m robustness.faults.ray_nodes COUNT prints the cluster's address; on each line "N" it kills node N with all its
processes, has another one join, and prints "killed". It ends with its standard input. In a process of its own: Ray
forks, which one with JAX's threads must not.
"""

import subprocess
import sys
from typing import Self

import psutil

from reporting.publish import plain_parser
from robustness.faults.shims import Skipped


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

    def kill(self, number: int) -> None:
        """Kills all processes of node `number`, counted from the oldest; another one joins."""
        assert self._process.stdin is not None
        print(number, file=self._process.stdin, flush=True)
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise Skipped("Ray does not start here")
        return line.strip()


def main() -> None:
    """The command."""
    options = plain_parser(__doc__)
    options.add_argument("count", type=int, help="nodes")
    args = options.parse_args()
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(args.count)]
    print(cluster.address, flush=True)
    for line in sys.stdin:
        node = nodes.pop(int(line))
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        family = [raylet, *raylet.children(recursive=True)]
        for process in family:
            process.kill()
        psutil.wait_procs(family, timeout=10.0)
        cluster.worker_nodes.discard(node)
        nodes.append(cluster.add_node(num_cpus=1))
        print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
