"""What counts as "the simulator is lost": an error of the `carla` client, or of a machine that cannot start a process.

The bodies of these `with` statements hold such calls and nothing else, so that a mistake in our own code is never taken
for a lost simulator and answered by starting another one.
"""

from types import TracebackType

from envloop.errors import SimulatorError


class carla_calls:  # noqa: N801 (reads as `with carla_calls(address):`)
    """Calls into `carla`: the client's RuntimeError becomes a SimulatorError that names the simulator's address."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, RuntimeError) or isinstance(error, SimulatorError):
            return
        said = (str(error) or repr(error)).splitlines()[0]
        happened = f"stopped answering ({said})" if "time-out" in said else f"failed: {said}"
        raise SimulatorError(f"The simulator at {self._address} {happened}.") from error


class process_start:  # noqa: N801 (reads as `with process_start("..."):`)
    """Starting a process with its pipes, sockets and logs: an OSError becomes a SimulatorError that says what of.

    A machine that is out of files, processes or memory may have some again later, so this is waited for like a lost
    simulator.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise SimulatorError(f"{self._what} could not be started: {error}.") from error
