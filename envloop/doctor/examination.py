"""From an endpoint to findings: connects, makes every check, goes on after one that loses the simulator."""

import contextlib
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata

import psutil

from envloop.client.errors import carla_calls
from envloop.client.minicarla_process import EmbeddedServer
from envloop.client.simulator import Simulator
from envloop.client.version_check import server_version
from envloop.config import SimulatorConfig
from envloop.doctor.checks import CHECKS
from envloop.doctor.finding import Check, Finding, Verdict, judged
from envloop.doctor.subject import Effort, Subject
from envloop.errors import EnvLoopError, SimulatorError, TaskError

VERSION, START = "version", "start"
ASKED = {
    VERSION: "Client and server are of one version, for the wire protocol is the version's own",
    START: "The server can be taken, loads the town and ticks when told to",
} | {check.name: check.asks for check in CHECKS}
_PATIENCE = {"timeout_s": 20.0, "start_timeout_s": 180.0, "restart_attempts": 2}
_LONG_START_S = 60.0


@dataclass(frozen=True)
class Row:
    """A check's finding, and the seconds that it took."""

    check: str
    finding: Finding
    seconds: float


@contextmanager
def endpoint_of(given: str | None, town: str) -> Iterator[str]:
    """The endpoint that is given, or that of a minicarla which runs as long as the block."""
    if given is not None:
        yield given
        return
    server = EmbeddedServer(["--town", town], _PATIENCE["start_timeout_s"])
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.stop(grace_s=5.0)


def config_of(endpoint: str, town: str) -> SimulatorConfig:
    """With more patience than a training has: to be late is something to be measured."""
    return SimulatorConfig(endpoint=endpoint, town=town, **_PATIENCE)  # type: ignore[arg-type]


def examine(
    config: SimulatorConfig, effort: Effort, tell: Callable[[int, int], None], started: Callable[[Simulator], None]
) -> Generator[Row]:
    """Makes every check of a running simulator, and yields its row as soon as it is there.

    Without a server of the right version that can be taken, there are no rows but those that say so.

    Args:
      config: of the simulator; the endpoint is HOST:PORT.
      effort: how long to look.
      tell: told of progress within a check: done, of how many.
      started: told of the simulator once it can be asked.

    Raises:
      TaskError: the endpoint is no HOST:PORT.
    """
    config.validate()
    version = _timed(VERSION, lambda: compare_versions(config))
    yield version
    if version.finding.verdict is Verdict.FAIL:
        return
    simulator = Simulator(config)
    try:
        start = _timed(START, lambda: _start(simulator))
        yield start
        if start.finding.verdict is Verdict.FAIL:
            return
        started(simulator)
        subject = Subject(simulator, effort, listening_process(*config.host_and_port()), tell)
        yield from _rows(subject, CHECKS)
    finally:
        simulator.close()


def make(check: Check, subject: Subject) -> Finding:
    """One check's finding. What the client raises is one: a simulator that does not do as it is told."""
    try:
        with carla_calls(subject.simulator.address):
            return check.run(subject)
    except SimulatorError as error:
        advice = "See the server's log; a server that hangs or ends here will do so in training."
        return Finding(Verdict.FAIL, str(error).rstrip("."), advice)
    except TaskError as error:
        return Finding(Verdict.SKIP, str(error).rstrip("."))


def compare_versions(config: SimulatorConfig) -> Finding:
    """Whether the installed client and the server are of one version."""
    client, server = metadata.version("carla"), server_version(*config.host_and_port(), config.timeout_s)
    return judged(
        fails=client != server,
        measured=f"client {client}, server {server}",
        advice=f"Start a CARLA {client}: a server of another version can crash the client.",
        values={"client": client, "server": server},
    )


def listening_process(host: str, port: int) -> int | None:
    """Process id of the server at a loopback address; None where another machine or another user has it."""
    with contextlib.suppress(OSError, psutil.Error):
        if not socket.gethostbyname(host).startswith("127."):
            return None
        for connection in psutil.net_connections("tcp4"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return connection.pid
    return None


def _start(simulator: Simulator) -> Finding:
    start = time.perf_counter()
    simulator.start()
    simulator.tick()
    took_s = time.perf_counter() - start
    told = simulator.identity()
    return judged(
        fails=False,
        warns=took_s > _LONG_START_S,
        measured=f"{told['simulator']} with {told['map']}, ready after {took_s:.1f} s",
        advice="Every run starts so late; load the town once, before the runs.",
        values={"simulator": told["simulator"], "map": told["map"], "start_s": took_s},
    )


def _rows(subject: Subject, checks: Sequence[Check]) -> Iterator[Row]:
    gone = ""
    for check in checks:
        if gone:
            yield Row(check.name, Finding(Verdict.SKIP, gone), 0.0)
            continue
        row = _timed(check.name, lambda check=check: make(check, subject))  # type: ignore[misc]
        yield row
        if row.finding.verdict is Verdict.FAIL and not row.finding.values:  # it raised: nothing is as it was
            try:
                subject.simulator.restart()
            except SimulatorError:
                gone = "the simulator is gone"


def _timed(name: str, work: Callable[[], Finding]) -> Row:
    start = time.perf_counter()
    try:
        finding = work()
    except EnvLoopError as error:  # in words that name the remedy
        finding = Finding(Verdict.FAIL, str(error).rstrip("."), "As the sentence says.")
    return Row(name, finding, time.perf_counter() - start)
