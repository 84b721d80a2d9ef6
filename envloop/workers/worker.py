"""python -m envloop.workers.worker FD: one environment in a process of its own, served over the socket FD.

The other end is a `ProcessEnv`. What travels are pickled tuples (requests) and the dataclasses of messages.py
(replies), between two processes of one run, over a socket pair that nothing else can reach.
"""

import contextlib
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

import gymnasium as gym

from envloop.errors import SimulatorError, TaskError
from envloop.make import AnyEnvConfig, describe, make_env
from envloop.workers.messages import Began, Crashed, Lost, Ready, Recovered, Refused, Reply, Stepped


def serve(connection: Connection, config: AnyEnvConfig) -> None:
    """Makes the environment and answers requests until the other end closes."""
    try:
        env = make_env(config)
    except (SimulatorError, TaskError) as error:
        connection.send(Lost(str(error)) if isinstance(error, SimulatorError) else Refused(str(error)))
        return
    with contextlib.closing(env):
        connection.send(Ready(describe(env)))
        while True:
            request = connection.recv()
            try:
                reply = answer(env, *request)
            except TaskError as error:
                reply = Refused(str(error))
            connection.send(reply)


def answer(env: gym.Env, name: str, *arguments: Any) -> Reply:
    """Does what one request asks; `Lost` where the simulator was lost. Raises what else the environment raises."""
    try:
        if name == "reset":
            seed, options = arguments
            return Began(*env.reset(seed=seed, options=options))
        if name == "recover":
            env.unwrapped.recover()  # type: ignore[attr-defined]  # only who loses a simulator is asked to
            return Recovered()
        began = time.perf_counter()
        observation, reward, terminated, truncated, info = env.step(arguments[0])
    except SimulatorError as error:
        return Lost(str(error))
    return Stepped(observation, float(reward), terminated, truncated, info, time.perf_counter() - began)


def main() -> None:
    """The command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends this process in order
    with Connection(int(sys.argv[1])) as connection, contextlib.suppress(EOFError, ConnectionError):
        try:
            serve(connection, connection.recv())
        except (EOFError, ConnectionError):
            raise
        except Exception:
            connection.send(Crashed(traceback.format_exc()))


if __name__ == "__main__":
    main()
