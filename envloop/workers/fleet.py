"""What a run's environments can be told of where they live: frozen data, without Ray."""

import shlex
from dataclasses import dataclass, field
from typing import Literal

from envloop.errors import TaskError

PORT = "{port}"


@dataclass(frozen=True)
class FleetConfig:
    """Where several environments live.

    Attributes:
      backend: "processes", one each on this machine; or "ray", an actor each, wherever the cluster has room.
      address: of the Ray cluster, HOST:PORT; "auto" for the one that this machine belongs to, "" for one that the run
        starts on this machine and ends with itself. Read with "ray" alone, as all that follow.
      cpus: that an environment asks of its machine, its simulator's with it.
      gpus: likewise; a part of one where several share it.
      resources: what else it asks for, "NAME=AMOUNT,NAME=AMOUNT", as machines were started with.
      environments_per_actor: of Ray's actors each holds so many environments, and is lost with all of them.
      max_lag_updates: how many updates old the parameters may be that an action is made with, until that action is in
        the replay. 0 lets the learner act for all environments, with the latest ones; with more, each actor acts for
        its own, and learner or actors wait where it would be older.
      chunk_steps: steps that such an actor makes, and sends, at a time, at most: fewer where they take more than a
        second, and where so many steps of all environments would ask for more updates than max_lag_updates.
      server_command: starts the simulator of an environment where that lives, a CARLA for instance; {port} in it is a
        free port P, and P + 1 and P + 2 are free too. It is ended with the environment. "" for what sim.endpoint says.
    """

    backend: Literal["processes", "ray"] = field(default="processes", metadata={"before": "processes"})
    address: str = field(default="", metadata={"before": ""})
    cpus: float = field(default=1.0, metadata={"before": 1.0})
    gpus: float = field(default=0.0, metadata={"before": 0.0})
    resources: str = field(default="", metadata={"before": ""})
    environments_per_actor: int = field(default=1, metadata={"before": 1})
    max_lag_updates: int = field(default=0, metadata={"before": 0})
    chunk_steps: int = field(default=64, metadata={"before": 16})
    server_command: str = field(default="", metadata={"before": ""})

    def validate(self) -> None:
        """Raises TaskError with one plain sentence for the first thing that is wrong."""
        if self.backend not in ("processes", "ray"):
            raise TaskError(f"fleet.backend is {self.backend!r}; choose 'processes' or 'ray'.")
        for name in ("cpus", "gpus"):
            if getattr(self, name) < 0.0:
                raise TaskError(f"fleet.{name} is {getattr(self, name)}; it must not be negative.")
        for name, least in (("environments_per_actor", 1), ("max_lag_updates", 0), ("chunk_steps", 1)):
            if getattr(self, name) < least:
                raise TaskError(f"fleet.{name} is {getattr(self, name)}; it must be at least {least}.")
        self.custom()
        if self.server_command:
            self.command(2000)
            if PORT not in self.server_command:
                raise TaskError(f"fleet.server_command is {self.server_command!r}; write {PORT} for its port.")
        if self.backend != "ray" and self.server_command:
            raise TaskError("fleet.server_command is for fleet.backend=ray; leave it empty.")
        if self.backend != "ray" and self.max_lag_updates:
            raise TaskError("fleet.max_lag_updates is for fleet.backend=ray; leave it at 0.")

    @property
    def acts_apart(self) -> bool:
        """Whether actions are made where the environments are, and not by the learner."""
        return self.max_lag_updates > 0

    def custom(self) -> dict[str, float]:
        """`resources` by name. Raises TaskError where they cannot be read."""
        found = {}
        for pair in filter(None, self.resources.split(",")):
            name, _, amount = pair.partition("=")
            try:
                found[name.strip()] = float(amount)
            except ValueError:
                raise TaskError(f"fleet.resources is {self.resources!r}; write NAME=AMOUNT,NAME=AMOUNT.") from None
        return found

    def command(self, port: int) -> list[str]:
        """The words of `server_command` for a port. Raises TaskError where they cannot be read."""
        try:
            return shlex.split(self.server_command.replace(PORT, str(port)))
        except ValueError as error:
            raise TaskError(f"fleet.server_command cannot be read ({error}); close its quotes.") from error
