"""An environment in a Ray actor, asked as one in a process of its own is."""

import contextlib
import dataclasses
import time
import traceback
from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from envloop.config import EnvConfig
from envloop.errors import SimulatorError, TaskError
from envloop.make import AnyEnvConfig, describe, make_env
from envloop.workers.fleet import FleetConfig
from envloop.workers.messages import Crashed, Lost, Ready, Refused, Reply
from envloop.workers.own_server import OwnServer
from envloop.workers.process import checked, patience_s
from envloop.workers.ray_cluster import RayCluster, import_ray
from envloop.workers.worker import answer

_STARTS = 3  # that one wait tries


class EnvActor:
    """The environment, and its simulator where the fleet has a command for that, in a worker process of Ray's."""

    def __init__(self) -> None:
        self._env: gym.Env | None = None
        self._server: OwnServer | None = None

    def make(self, config: AnyEnvConfig, fleet: FleetConfig) -> Reply:
        """Makes the environment."""
        try:
            if fleet.server_command and isinstance(config, EnvConfig):
                self._server = OwnServer(fleet, config.simulator.start_timeout_s)
                simulator = dataclasses.replace(config.simulator, endpoint=self._server.endpoint)
                config = dataclasses.replace(config, simulator=simulator)
            self._env = make_env(config)
            return Ready(describe(self._env))
        except SimulatorError as error:
            return Lost(str(error))
        except TaskError as error:
            return Refused(str(error))
        except Exception:
            return Crashed(traceback.format_exc())

    def ask(self, name: str, *arguments: Any) -> Reply:
        """The answer to what `ProcessEnv.ask` asks."""
        assert self._env is not None
        if name == "recover" and self._server is not None and not self._server.alive():
            return Lost("The simulator's own server ended.")  # another actor starts another one
        try:
            return answer(self._env, name, *arguments)
        except TaskError as error:
            return Refused(str(error))
        except Exception:
            return Crashed(traceback.format_exc())

    def close(self) -> None:
        """Ends the environment and its simulator."""
        env, self._env = self._env, None
        if env is not None:
            env.close()
        if self._server is not None:
            self._server.stop()


class RayEnv:
    """One actor, asked one thing at a time; the interface is that of `ProcessEnv`.

    An actor that died with its process or its machine, or that hangs, shows as a `SimulatorError` of `receive` and in
    `overdue`; `end` and `start` put another in its place, wherever the cluster has room.
    """

    phase = ""  # the actor times itself

    def __init__(self, fleet: FleetConfig, cluster: RayCluster, config: AnyEnvConfig) -> None:
        self.config = config
        self.ready: Ready | None = None
        self.waiting_for = ""
        self._fleet = fleet
        self._cluster = cluster
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
        fleet = self._fleet
        actor = self._ray.remote(EnvActor).options(
            num_cpus=fleet.cpus, num_gpus=fleet.gpus, resources=fleet.custom(), max_restarts=0, max_task_retries=0
        )
        self._actor = actor.remote()
        self._expect("start", self._actor.make.remote(self.config, fleet))

    def ask(self, name: str, *arguments: Any) -> None:
        """Sends a request, whose answer `receive` returns. Raises SimulatorError when there is no actor."""
        if self._actor is None:
            raise SimulatorError("The environment's actor is not started.")
        self._expect(name, self._actor.ask.remote(name, *arguments))

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
                f"{self._fleet.cpus:g} CPUs, {self._fleet.gpus:g} GPUs and {self._fleet.resources or 'nothing else'}."
            )
        return f"The environment's actor does not answer ({self.waiting_for})."

    def hang_up(self) -> None:
        """Asks the actor to end."""
        if self._actor is not None and not self._cluster.lost:
            self._answer = self._actor.close.remote()
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
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(actor)

    def _expect(self, name: str, reference: Any) -> None:
        self.waiting_for, self._answer = name, reference
        self._deadline = time.monotonic() + patience_s(name, self.config)


def _sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
