"""An environment in a Ray actor, asked as one in a process of its own is."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from envloop.errors import SimulatorError
from envloop.make import AnyEnvConfig
from envloop.workers.actor import EnvActor
from envloop.workers.driver import CHUNK_S, PolicyMaker
from envloop.workers.fleet import FleetConfig
from envloop.workers.messages import Lost, Ready, Reply
from envloop.workers.process import checked, patience_s
from envloop.workers.ray_cluster import RayCluster, import_ray

_STARTS = 3  # that one wait tries
_SLOW_CHUNK_S = 30.0  # of a chunk one step may take as long as alone: the first action compiles, and threads wait


class RayFleet:
    """Makes the environments of a run on a cluster, so many to an actor; called with the configuration of each.

    With a `policy` they can be asked to drive.
    """

    def __init__(self, fleet: FleetConfig, cluster: RayCluster, policy: PolicyMaker | None = None) -> None:
        self._fleet = fleet
        self._cluster = cluster
        self._policy = policy
        self._shared = SharedActor(fleet)

    def __call__(self, config: AnyEnvConfig) -> "RayEnv":
        if self._shared.places == self._fleet.environments_per_actor:
            self._shared = SharedActor(self._fleet)
        self._shared.places += 1
        return RayEnv(self._fleet, self._cluster, config, self._shared, self._shared.places - 1, self._policy)


class SharedActor:
    """The actor of some environments, from one to the next that takes its place.

    places: how many environments there are, set before the first one starts.
    """

    def __init__(self, fleet: FleetConfig) -> None:
        self.places = 0
        self._fleet = fleet
        self._ray = import_ray()
        self._handle: Any = None
        self._users = 0  # of that handle

    def join(self) -> Any:
        """The actor, asked for where there is none."""
        if self._handle is None:
            fleet, count = self._fleet, self.places
            self._users = 0
            self._handle = (
                self._ray.remote(EnvActor)
                .options(
                    num_cpus=fleet.cpus * count,
                    num_gpus=fleet.gpus * count,
                    resources={name: amount * count for name, amount in fleet.custom().items()},
                    max_concurrency=count,
                    max_restarts=0,
                    max_task_retries=0,
                )
                .remote()
            )
        self._users += 1
        return self._handle

    def leave(self, handle: Any, at_once: bool) -> None:
        """Kills the actor once all have left it, or at once: whoever else is in it loses it then."""
        if handle is self._handle:
            self._users -= 1
            if self._users > 0 and not at_once:
                return
            self._handle = None
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(handle)


class RayEnv:
    """One environment in an actor, asked one thing at a time; the interface is that of `ProcessEnv`.

    An actor that died with its process or its machine, or that hangs, shows as a `SimulatorError` of `receive` and in
    `overdue`; `end` and `start` put another in its place, wherever the cluster has room.
    """

    phase = ""  # the actor times itself

    def __init__(
        self,
        fleet: FleetConfig,
        cluster: RayCluster,
        config: AnyEnvConfig,
        shared: SharedActor,
        number: int,
        policy: PolicyMaker | None = None,
    ) -> None:
        self.config = config
        self.ready: Ready | None = None
        self.waiting_for = ""
        self._fleet = fleet
        self._cluster = cluster
        self._shared = shared
        self._number = number  # within the actor
        self._policy = policy
        self._ray = import_ray()
        self._actor: Any = None
        self._answer: Any = None  # the reference to what was asked for
        self._deadline = float("inf")

    @staticmethod
    def answered(asked: "Sequence[RayEnv]", timeout_s: float) -> "list[RayEnv]":
        """Those whose answer is there, after waiting a while for the first. Raises SimulatorError without a head."""
        if asked[0]._cluster.lost:
            raise SimulatorError(asked[0]._cluster.lost)
        ray, answers = asked[0]._ray, {env._answer: env for env in asked}
        first, others = ray.wait(list(answers), timeout=timeout_s)
        if first and others:
            first += ray.wait(others, num_returns=len(others), timeout=0)[0]
        return [answers[done] for done in first]

    @property
    def running(self) -> bool:
        return self._actor is not None

    def start(self) -> None:
        """Asks the cluster for an actor; its answer will be `Ready`, `Lost` or `Refused`."""
        self._actor = self._shared.join()
        made = self._actor.make.remote(self._number, self.config, self._fleet, self._policy)
        self._expect("start", made, patience_s("start", self.config))

    def ask(self, name: str, *arguments: Any) -> None:
        """Sends a request, whose answer `receive` returns. Raises SimulatorError when there is no actor."""
        if self._actor is None:
            raise SimulatorError("The environment's actor is not started.")
        patience = patience_s("step" if name == "drive" else name, self.config)
        if name == "drive":
            patience += CHUNK_S + _SLOW_CHUNK_S
        self._expect(name, self._actor.ask.remote(self._number, name, *arguments), patience)

    def receive(self) -> Reply:
        """The answer, which must be there or on its way; raises what `ProcessEnv.receive` does."""
        try:
            reply = checked(self._ray.get(self._answer))
        except self._ray.exceptions.RayError as error:
            raise SimulatorError(f"The environment's actor is gone: {_sentence(error)}") from error
        finally:
            self.waiting_for, self._answer, self._deadline = "", None, float("inf")
        if isinstance(reply, Ready):
            self.ready = reply
        return reply

    def call(self, name: str, *arguments: Any) -> Reply:
        """`ask` and its answer. Raises SimulatorError when it does not come in time or the simulator is lost."""
        self.ask(name, *arguments)
        return self.wait()

    def wait(self) -> Reply:
        """The outstanding answer. Raises SimulatorError when it does not come in time or the simulator is lost."""
        starting, starts = self.waiting_for == "start", 1
        while True:
            while not self.answered([self], 1.0):
                if time.monotonic() > self._deadline:
                    raise SimulatorError(self.silence())
            try:
                reply = self.receive()
                break
            except SimulatorError:  # a machine that has just died still counts as room for a while
                if not starting or starts == _STARTS:
                    raise
                self.end()
            self.start()
            starts += 1
        if isinstance(reply, Lost):
            raise SimulatorError(reply.error)
        return reply

    def overdue(self) -> bool:
        """Whether the answer should be there by now and is not."""
        return time.monotonic() > self._deadline and not self.answered([self], 0.0)

    def silence(self) -> str:
        """What to say of an answer that does not come."""
        if self.waiting_for == "start":
            return (
                f"The cluster gave the environment no actor in time, or that did not get ready: it asks for "
                f"{self._fleet.cpus:g} CPUs, {self._fleet.gpus:g} GPUs and {self._fleet.resources or 'nothing else'}"
                + (f", {count} to an actor." if (count := self._shared.places) > 1 else ".")
            )
        return f"The environment's actor does not answer ({self.waiting_for})."

    def hang_up(self) -> None:
        """Asks the actor to end."""
        if self._actor is not None and not self._cluster.lost:
            self._answer = self._actor.close.remote(self._number)
        self.waiting_for, self._deadline = "", float("inf")

    def end(self, grace_s: float = 0.0) -> None:
        """Kills the actor, after `grace_s` if it has been told to end; its simulator ends with it."""
        actor, self._actor = self._actor, None
        closing, self._answer = self._answer, None
        self.waiting_for, self._deadline = "", float("inf")
        if actor is None or self._cluster.lost:
            return
        if grace_s and closing is not None:
            self._ray.wait([closing], timeout=grace_s)
        self._shared.leave(actor, at_once=not grace_s)

    def _expect(self, name: str, reference: Any, patience: float) -> None:
        self.waiting_for, self._answer = name, reference
        self._deadline = time.monotonic() + patience


def _sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
