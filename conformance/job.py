"""One program of CARLA's to run against one server."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conformance.child import Ending

Run = Callable[[Path], Ending]  # in a scratch folder


@dataclass(frozen=True)
class Job:
    """A name for the table, the port that the program expects its server on, and how to run it."""

    name: str
    port: int
    run: Run
