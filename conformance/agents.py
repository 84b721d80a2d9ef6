"""CARLA's driving agents (`PythonAPI/carla/agents`): each drives from one spawn point to another."""

from collections.abc import Iterator
from pathlib import Path

from conformance import child
from conformance.child import Ending
from conformance.job import Job, Run

PORT = 2000
AGENTS = ("basic", "constant velocity", "cautious", "normal", "aggressive")
_LIMIT_S = 240.0


def jobs(python_api: Path) -> Iterator[Job]:
    """Every agent."""
    if (python_api / "carla" / "agents").is_dir():
        for agent in AGENTS:
            yield Job(f"agent {agent}", PORT, _runner(python_api, agent))


def _runner(python_api: Path, agent: str) -> Run:
    def run(scratch: Path) -> Ending:
        drive = child.python("-P", str(Path(__file__).with_name("drive_agent.py")), agent, str(PORT))
        return child.run(drive, scratch, child.environment(python_api / "carla"), _LIMIT_S, endless=False)

    return run
