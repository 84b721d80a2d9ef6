"""What lives in an actor on a cluster: environments, their simulators where the fleet has a command for that."""

import dataclasses
import threading
import traceback
from typing import Any

import gymnasium as gym

from envloop.config import EnvConfig
from envloop.errors import SimulatorError, TaskError
from envloop.make import AnyEnvConfig, describe, make_env
from envloop.workers.driver import Driver, PolicyMaker
from envloop.workers.fleet import FleetConfig
from envloop.workers.messages import Began, Crashed, Lost, Ready, Refused, Reply
from envloop.workers.own_server import OwnServer
from envloop.workers.worker import answer


class EnvActor:
    """Environments by number, each of which is asked one thing at a time; several are asked on threads of their own."""

    def __init__(self) -> None:
        self._places: dict[int, _Place] = {}

    def make(self, number: int, config: AnyEnvConfig, fleet: FleetConfig, policy: PolicyMaker | None) -> Reply:
        """Makes an environment; with a policy it can be asked to drive."""
        place = self._places[number] = _Place()
        return place.make(config, fleet, policy)

    def ask(self, number: int, name: str, *arguments: Any) -> Reply:
        """The answer to what `ProcessEnv.ask` asks, or to ("drive", Drive, weights)."""
        return self._places[number].ask(name, *arguments)

    def close(self, number: int) -> None:
        """Ends an environment and its simulator."""
        if number in self._places:
            self._places[number].close()


class _Place:
    """One environment, maybe with its own server and with who acts for it."""

    def __init__(self) -> None:
        self._env: gym.Env | None = None
        self._server: OwnServer | None = None
        self._driver: Driver | None = None
        self._busy = threading.Lock()

    def make(self, config: AnyEnvConfig, fleet: FleetConfig, policy: PolicyMaker | None) -> Reply:
        with self._busy:
            try:
                if fleet.server_command and isinstance(config, EnvConfig):
                    self._server = OwnServer(fleet, config.simulator.start_timeout_s)
                    simulator = dataclasses.replace(config.simulator, endpoint=self._server.endpoint)
                    config = dataclasses.replace(config, simulator=simulator)
                self._env = make_env(config)
                if policy is not None:
                    self._driver = Driver(self._env, policy)
                return Ready(describe(self._env))
            except SimulatorError as error:
                return Lost(str(error))
            except TaskError as error:
                return Refused(str(error))
            except Exception:
                return Crashed(traceback.format_exc())

    def ask(self, name: str, *arguments: Any) -> Reply:
        with self._busy:
            assert self._env is not None
            if name == "recover" and self._server is not None and not self._server.alive():
                return Lost("The simulator's own server ended.")  # another actor starts another one
            try:
                if name == "drive":
                    assert self._driver is not None
                    return self._driver.drive(*arguments)
                reply = answer(self._env, name, *arguments)
                if isinstance(reply, Began) and self._driver is not None:
                    self._driver.began(reply.observation)
                return reply
            except TaskError as error:
                return Refused(str(error))
            except Exception:
                return Crashed(traceback.format_exc())

    def close(self) -> None:
        with self._busy:
            env, self._env = self._env, None
            if env is not None:
                env.close()
            if self._server is not None:
                self._server.stop()
