"""python -m envloop.workers.worker FD: one environment in a process of its own, served over the socket FD.

The other end is an `EnvProcess`. What travels are pickled tuples (requests) and the dataclasses of messages.py
(replies), between two processes of one run, over a socket pair that nothing else can reach.
"""

import contextlib
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envloop.config import EnvConfig
from envloop.env import CarlaEnv
from envloop.errors import SimulatorError
from envloop.workers.messages import Began, Lost, Ready, Recovered, Refused, Reply, Stepped


def serve(connection: Connection, config: EnvConfig) -> None:
    """Makes the environment and answers requests until the other end closes."""
    try:
        env = CarlaEnv(config)
    except (SimulatorError, OSError) as error:
        connection.send(Lost(str(error)))
        return
    except ValueError as error:
        connection.send(Refused(str(error)))
        return
    with contextlib.closing(env):
        connection.send(Ready(env.simulator.identity(), env.task))
        while True:
            request = connection.recv()
            try:
                reply = answer(env, *request)
            except SimulatorError as error:
                reply = Lost(str(error))
            except ValueError as error:
                reply = Refused(str(error))
            connection.send(reply)


def answer(env: CarlaEnv, name: str, *arguments: Any) -> Reply:
    """Does what one request asks; raises what the environment raises."""
    if name == "reset":
        seed, options = arguments
        return Began(*env.reset(seed=seed, options=options))
    if name == "recover":
        env.recover()
        return Recovered()
    action: NDArray[np.float32] = arguments[0]
    began = time.perf_counter()
    observation, reward, terminated, truncated, info = env.step(action)
    return Stepped(observation, float(reward), terminated, truncated, info, time.perf_counter() - began)


def main() -> None:
    """The command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends this process in order
    with Connection(int(sys.argv[1])) as connection, contextlib.suppress(EOFError, ConnectionError):
        serve(connection, connection.recv())


if __name__ == "__main__":
    main()
