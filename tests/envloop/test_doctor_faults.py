"""Every check of the doctor finds what it is for: a real server behind a relay that makes it faulty in one way."""

import contextlib
import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults_on_the_wire import FAULTS
from faulty_wire import HOST

from envloop.client.minicarla_process import EmbeddedServer
from envloop.client.simulator import Simulator
from envloop.client.world_lock import new_owner, role_name
from envloop.config import SimulatorConfig
from envloop.doctor.checks import CHECKS
from envloop.doctor.examination import Row, examine, make
from envloop.doctor.finding import Verdict
from envloop.doctor.subject import Effort, Subject

EFFORT = Effort(ticks=8, resets=8, steps=8, traffic_ticks=30, vehicles=4, walkers=4)
CHECK = {check.name: check for check in CHECKS}
FOUND = {  # fault: (check, what it finds)
    "steps of other lengths": ("clock", Verdict.FAIL),
    "late ticks": ("tick latency", Verdict.WARN),
    "another map": ("roads", Verdict.FAIL),
    "lights never reset": ("traffic lights", Verdict.WARN),
    "nothing destroyed": ("spawn and destroy", Verdict.FAIL),
    "put elsewhere": ("teleport", Verdict.FAIL),
    "mirrored steering": ("driving", Verdict.FAIL),
    "no throttle": ("driving", Verdict.FAIL),
    "lost pictures": ("camera frames", Verdict.FAIL),
    "another tick's number": ("camera frames", Verdict.FAIL),
    "slow pictures": ("camera frames", Verdict.WARN),
    "black pictures": ("camera picture", Verdict.FAIL),
    "a frozen picture": ("camera picture", Verdict.FAIL),
    "a picture late": ("camera picture", Verdict.FAIL),
    "weather not kept": ("weather", Verdict.FAIL),
    "weather not seen": ("weather", Verdict.WARN),
    "late positions": ("sensor order", Verdict.FAIL),
    "late collisions": ("sensor order", Verdict.FAIL),
    "no collisions": ("collisions", Verdict.FAIL),
    "no markings": ("lane markings", Verdict.FAIL),
    "traffic by chance": ("traffic by seed", Verdict.WARN),
    "traffic that stands": ("traffic by seed", Verdict.FAIL),
    "walkers that stand": ("walkers", Verdict.FAIL),
    "steering with noise": ("episode by seed", Verdict.WARN),
    "a slow server": ("speed of steps", Verdict.WARN),
    "no new map": ("reload", Verdict.FAIL),
}
LONG = {"traffic by seed", "walkers", "episode by seed", "speed of steps", "memory", "reload"}
OF_THE_MAP = {"another map", "no markings"}  # which a client reads when it comes


class Wire:
    """The relay's process: the client holds Python's lock in some calls, so it could not be a thread."""

    def __init__(self, port: int) -> None:
        script = Path(__file__).with_name("faults_on_the_wire.py")
        self._process = subprocess.Popen(
            [sys.executable, script, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._answer() == "ready"

    @contextlib.contextmanager
    def faulty(self, name: str) -> Iterator[None]:
        self._set(name)
        try:
            yield
        finally:
            self._set("")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _set(self, name: str) -> None:
        self._process.stdin.write(f"{name}\n")
        assert self._answer() == "set"

    def _answer(self) -> str:
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    started = EmbeddedServer(["--town", "Town01"], 120.0)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def wire(server: EmbeddedServer) -> Iterator[Wire]:
    with contextlib.closing(Wire(server.port)) as relay:
        yield relay


@pytest.fixture(scope="module")
def subject(server: EmbeddedServer, wire: Wire) -> Iterator[Subject]:
    endpoint = f"{HOST}:{server.port}"
    config = SimulatorConfig(endpoint=endpoint, timeout_s=1.5, start_timeout_s=3.0, backoff_s=0.01)
    with Simulator(config) as simulator:
        yield Subject(simulator, EFFORT, server.pid, lambda done, total: None)


def rows_of(config: SimulatorConfig) -> Iterator[Row]:
    return examine(config, EFFORT, lambda done, total: None, lambda simulator: None)


def test_every_check_has_a_fault_and_every_fault_a_check():
    assert {check for check, _ in FOUND.values()} | {"memory"} == set(CHECK)
    assert {*FOUND, "another version"} == set(FAULTS)


@pytest.mark.parametrize("name", FOUND)
def test_a_fault_is_found(subject: Subject, wire: Wire, name: str):
    check, verdict = FOUND[name]
    with wire.faulty(name):
        if name in OF_THE_MAP:
            subject.simulator.restart()
        found = make(CHECK[check], subject)
    if name in OF_THE_MAP or not found.values or name == "nothing destroyed":
        subject.simulator.restart()
    assert (found.verdict, bool(found.advice)) == (verdict, True), found.measured


def test_behind_the_relay_all_is_well_when_there_is_no_fault(subject: Subject):
    found = {check.name: make(check, subject) for check in CHECKS if check.name not in LONG}
    assert {name: finding.measured for name, finding in found.items() if finding.verdict is not Verdict.OK} == {}


LEAK = """
import time
print("begun", flush=True)
held = []
while len(held) < 500:
    held.append(bytearray(2_000_000))
    time.sleep(0.02)
time.sleep(600)
"""


def test_memory_that_grows_is_found(subject: Subject):
    with subprocess.Popen([sys.executable, "-c", LEAK], stdout=subprocess.PIPE) as leaking:
        try:
            leaking.stdout.readline()
            found = make(CHECK["memory"], dataclasses.replace(subject, server_pid=leaking.pid))
        finally:
            leaking.kill()
    assert found.verdict is Verdict.FAIL, found.measured
    assert found.values["server_mb_per_100"] > 200.0


def test_memory_that_nobody_sees_is_told_of(subject: Subject):
    found = make(CHECK["memory"], dataclasses.replace(subject, server_pid=None))
    assert found.verdict is Verdict.WARN
    assert "not known" in found.measured


def test_another_version_is_found_before_the_client_meets_it(subject: Subject, wire: Wire):
    with wire.faulty("another version"):
        (only,) = rows_of(subject.simulator.config)
    assert (only.check, only.finding.verdict) == ("version", Verdict.FAIL)
    assert only.finding.measured == "client 0.9.16, server 0.9.15"


def test_a_server_that_another_environment_drives_is_not_touched(subject: Subject):
    model = subject.world.get_blueprint_library().find("vehicle.tesla.model3")
    model.set_attribute("role_name", role_name("ego", new_owner()))
    other = subject.world.spawn_actor(model, subject.straight_places(20.0)[0])
    subject.simulator.tick()
    rows = list(rows_of(subject.simulator.config))
    other.destroy()
    subject.simulator.tick()
    assert [(row.check, row.finding.verdict) for row in rows] == [("version", Verdict.OK), ("start", Verdict.FAIL)]
    assert "already serves another environment" in rows[-1].finding.measured


def test_a_server_that_ends_in_a_check_fails_it_and_skips_the_others(subject: Subject, server: EmbeddedServer):
    """The last one in this file."""
    found = []
    for row in rows_of(dataclasses.replace(subject.simulator.config, endpoint=f"127.0.0.1:{server.port}")):
        found.append(row)
        if row.check == "clock":
            server.stop()
    assert [row.finding.verdict for row in found[:4]] == [Verdict.OK, Verdict.OK, Verdict.OK, Verdict.FAIL]
    assert {row.finding.verdict for row in found[4:]} == {Verdict.SKIP}
    assert len(found) == 2 + len(CHECKS)
