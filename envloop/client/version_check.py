"""Asks a TCP endpoint whether it is a CARLA simulator of the right version, before the `carla` client is let near it.

The client waits its whole time-out where nothing answers and only logs a warning about another version; a plain socket
tells the cases apart at once. One msgpack-rpc call is made: `version`.
"""

import socket
import time
from typing import Any

import msgpack

from envloop.errors import SimulatorError

CARLA_VERSION = "0.9.16"

_VERSION_REQUEST = msgpack.packb([0, 1, "version", [[False]]])
_LARGEST_REPLY = 4096


def require_carla(host: str, port: int, timeout_s: float) -> None:
    """Returns when a CARLA 0.9.16 answers at `host:port`.

    Raises:
      SimulatorError: refused, silent, not CARLA, or another version.
    """
    version = server_version(host, port, timeout_s)
    if version != CARLA_VERSION:
        raise SimulatorError(
            f"The simulator at {host}:{port} is CARLA {version}, but the installed client speaks {CARLA_VERSION} only; "
            f"start a CARLA {CARLA_VERSION} server."
        )


def server_version(host: str, port: int, timeout_s: float) -> str:
    """Version text of the CARLA server at `host:port`. Raises SimulatorError where there is none."""
    where = f"{host}:{port}"
    deadline = time.monotonic() + timeout_s
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(_VERSION_REQUEST)
            return _version_of(_first_reply(connection, deadline))
    except ConnectionRefusedError:
        raise SimulatorError(
            f"No simulator listens at {where}; start CARLA {CARLA_VERSION} there, or use the endpoint 'embedded'."
        ) from None
    except socket.gaierror:
        raise SimulatorError(f"The host name in the endpoint {where} cannot be resolved; correct it.") from None
    except TimeoutError:
        raise SimulatorError(
            f"{where} did not answer within {timeout_s:g} s; check that it is the RPC port of a CARLA {CARLA_VERSION} "
            "(not its streaming port, nor another program's) and that the simulator is not hung."
        ) from None
    except (ValueError, TypeError, msgpack.UnpackException, ConnectionError):
        raise SimulatorError(
            f"What listens at {where} is not a CARLA simulator; give the RPC port of a CARLA {CARLA_VERSION}."
        ) from None
    except OSError as error:
        raise SimulatorError(f"{where} cannot be reached ({error.strerror or error}); check the endpoint.") from None


def _first_reply(connection: socket.socket, deadline: float) -> Any:
    unpacker = msgpack.Unpacker(max_buffer_size=_LARGEST_REPLY)
    while True:
        connection.settimeout(max(deadline - time.monotonic(), 1e-3))
        received = connection.recv(_LARGEST_REPLY)
        if not received:
            raise ConnectionResetError
        unpacker.feed(received)
        try:
            return unpacker.unpack()
        except msgpack.OutOfData:
            continue


def _version_of(reply: Any) -> str:
    """Text out of `[1, id, nil, [[1, version]]]`; ValueError or TypeError for any other shape."""
    kind, _, error, result = reply
    if kind != 1 or error is not None:
        raise ValueError
    ((success, version),) = result
    if not success or not isinstance(version, str):
        raise ValueError
    return version
