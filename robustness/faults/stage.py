"""Everything that a fault needs around a training: its servers, the wires to them, the shims in its processes."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from robustness.faults.ray_nodes import RayNodes
from robustness.faults.server import Server
from robustness.faults.shims import Shim, preloaded
from robustness.faults.training import Training
from robustness.faults.wire import Wire


@dataclass(frozen=True)
class Needs:
    """How a training has to be started for a fault.

    external: on a server of the benchmark's own, over a wire, in place of an embedded one.
    ray_nodes: on a Ray cluster with a node for each environment.
    shims: names of the C files that its processes run with.
    values: of its configuration.
    """

    external: bool = False
    ray_nodes: bool = False
    shims: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


class Stage:
    """A training that was started as `needs` says, and what can be done to it; use it in `with`.

    Raises Skipped where the machine lacks what it takes.
    """

    training: Training
    server: Server
    wire: Wire
    ray_nodes: RayNodes

    def __init__(self, needs: Needs, workdir: Path, **values: Any) -> None:
        self._needs = needs
        self._workdir = workdir
        self._values = {**needs.values, **values}
        self.shims: dict[str, Shim] = {}

    @property
    def environments(self) -> int:
        """Of the training."""
        return int(self._values.get("num_envs", 1))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = self._workdir.parent
            folder.mkdir(parents=True, exist_ok=True)
            self.shims = {name: stack.enter_context(Shim(name, folder)) for name in self._needs.shims}
            values = dict(self._values)
            if self._needs.external:
                self.server = stack.enter_context(Server())
                self.wire = stack.enter_context(Wire(self.server.port))
                embedded = ["embedded"] * (self.environments - 1)
                values["sim.endpoint"] = ",".join([*embedded, self.wire.endpoint])
            if self._needs.ray_nodes:
                self.ray_nodes = stack.enter_context(RayNodes(self.environments))
                values["fleet.address"] = self.ray_nodes.address
            environment = preloaded(*self.shims.values())
            self.training = stack.enter_context(Training(self._workdir, values, environment=environment))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
