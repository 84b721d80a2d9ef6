"""The live page's process: what it takes, what it refuses, and that browsers cost the run nothing."""

import concurrent.futures
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from avtd3_jax.errors import ConfigError
from avtd3_jax.monitor import server
from avtd3_jax.monitor.board import Board
from avtd3_jax.monitor.station import Silence, live_page, url
from avtd3_jax.monitor.watched import WatchedEnvironments
from avtd3_jax.settings.schema import MonitorConfig
from envloop.description import EnvDescription
from envloop.free_ports import free_ports

ROOT = Path(__file__).parents[2]
PICTURE = b"\xff\xd8" + bytes(12_000)


def get(address: str, timeout: float = 20.0, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=timeout) as answer:
        return answer.read()


def refused(address: str, method: str = "GET", **headers: str) -> int:
    """The status of an answer that is none."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(address, headers=headers, method=method), timeout=20.0)
    with caught.value as error:
        return error.code


def port_of(address: str) -> int:
    return int(address.rstrip("/").rpartition(":")[2])


def server_process(address: str) -> psutil.Process:
    """The one that serves at `address`."""
    found = []
    for one in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # another test's, which ends
            if "avtd3_jax.monitor.server" in one.cmdline():
                found += [one] * (port_of(address) in {c.laddr.port for c in one.net_connections() if c.laddr})
    (only,) = found
    return only


@contextlib.contextmanager
def serving(**settings) -> Iterator[tuple[Silence, str]]:
    """A page that answers, and its address."""
    config = MonitorConfig(port=free_ports(), **settings)
    with live_page(config) as page:
        page.about({"run": "r", "total_steps": 10})
        deadline = time.monotonic() + 60.0
        while b'"run": "r"' not in get(f"{url(config)}state.json", timeout=60.0):
            assert time.monotonic() < deadline
        yield page, url(config)


@pytest.fixture(scope="module")
def served():
    with serving() as opened:
        yield opened


def test_what_the_run_tells_can_be_read(served):
    page, address = served
    page.gauge("replay", lambda: 0.25)
    for step in range(1, 5):
        page.point("run/steps_per_s", 10.0 * step, step)
    page.picture("0", PICTURE, {"speed_kmh": 30.0})
    numbers = {"return": float("nan"), "duration_s": np.float32(2.5), "length": np.int64(7)}
    page.failure(PICTURE[:100], {"reason": "collision", "environment": 0, "time": 1.0, **numbers})
    page.event("environment 0 is lost")
    page._flush_at = 0.0
    page.point("episode/return", -3.0, 5)
    deadline = time.monotonic() + 60.0
    while (state := json.loads(get(f"{address}state.json")))["step"] < 5:
        assert time.monotonic() < deadline
    assert state["gauges"] == {"replay": 0.25}
    (place,) = state["places"]
    assert (place["name"], place["speed_kmh"]) == ("0", 30.0)
    assert get(f"{address}picture/0.jpg?{place['picture']}") == PICTURE
    (failure,) = state["failures"]
    assert failure["reason"] == "collision"
    assert [failure[name] for name in numbers] == [None, 2.5, 7]
    assert get(f"{address}failure/{failure['id']}.jpg") == PICTURE[:100]
    assert [event["text"] for event in state["events"]] == ["environment 0 is lost"]
    curves = json.loads(get(f"{address}curves.json"))
    assert curves["run/steps_per_s"] == {"x": [1, 2, 3, 4], "y": [10.0, 20.0, 30.0, 40.0]}
    assert b"/monitor.js" in get(address)


def test_nothing_but_reading_is_answered(served):
    _, address = served
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert refused(f"{address}state.json", method) == 405
    for missing in ("picture/7.jpg", "failure/999.jpg", "../config.json", "picture/..%2fx.jpg"):
        assert refused(f"{address}{missing}") == 404
    assert refused(address, Host="evil.example") == 403, "another site's name that leads here"
    assert get(address, Host="localhost:9999"), "a tunnel's port"


def test_a_port_that_is_taken_is_refused_before_anything_starts(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=rf"127.0.0.1:{port} \(Address already in use\)"),
            live_page(MonitorConfig(port=port)),
        ):
            pass
        command = [sys.executable, "-m", "avtd3_jax.train", "--config", "configs/town01.py"]
        options = [f"--config.monitor.port={port}", f"--workdir={tmp_path / 'run'}"]
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("train: config.monitor: no page can be served at ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_it_is_served_to_this_machine_alone_unless_told_otherwise(served):
    _, address = served
    port = port_of(address)
    (listening,) = {one.laddr.ip for one in server_process(address).net_connections() if one.status == "LISTEN"}
    assert listening == "127.0.0.1"
    assert refused(address, Host=f"192.0.2.1:{port}") == 403


def test_a_hundred_tabs_and_stalled_browsers_cost_the_run_nothing(served):
    page, address = served
    port = port_of(address)
    process = server_process(address)
    assert process.nice() == 19
    before = process.memory_info().rss
    with contextlib.ExitStack() as stack:
        for i in range(60):  # ask for much and read nothing, or begin to ask and never end
            stalled = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            stalled.sendall(b"GET /plotly.js HTTP/1.1\r\nHost: localhost\r\n" + (b"\r\n" if i % 2 else b""))
        tabs = stack.enter_context(concurrent.futures.ThreadPoolExecutor(100))
        asked = [tabs.submit(get, f"{address}state.json", 60.0) for _ in range(300)]
        own = time.thread_time()
        for step in range(200):
            page.picture("0", PICTURE, {})
            page.point("run/steps_per_s", float(step), 100 + step)
        own = time.thread_time() - own
        assert all(json.loads(one.result())["about"] for one in asked)
        assert json.loads(get(f"{address}state.json"))
        connections = [one for one in process.net_connections() if one.status == "ESTABLISHED"]
    assert own / 200 < 1e-3, "seconds of the run's own thread for a picture and a point"
    assert len(connections) <= server.CONNECTIONS
    assert process.memory_info().rss - before < 60e6


def test_connections_are_bounded_and_the_oldest_makes_room(served):
    _, address = served
    port = port_of(address)
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(server.CONNECTIONS + 5)
        ]
        assert get(f"{address}state.json"), "a new browser comes in"
        opened[0].settimeout(20.0)
        assert opened[0].recv(1) == b"", "the oldest was closed"


def test_a_page_that_hangs_or_dies_does_not_hold_the_run_up(capsys):
    with serving() as (page, address):
        process = server_process(address)
        process.suspend()
        began = time.monotonic()
        for _ in range(500):
            page.picture("0", PICTURE, {})
            page.event("x" * 500)
        assert time.monotonic() - began < 30.0
        process.kill()
        process.wait()
        for _ in range(3):
            page.event("nobody hears this")
    assert capsys.readouterr().err.count("the live page has ended") == 1


def test_the_page_ends_with_the_run_even_where_that_is_killed():
    port = free_ports()
    script = (
        "import sys, time\nfrom avtd3_jax.monitor.station import live_page\n"
        "from avtd3_jax.settings.schema import MonitorConfig\n"
        f"with live_page(MonitorConfig(port={port})) as page:\n    time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, cwd=ROOT) as run:
        deadline = time.monotonic() + 60.0
        while not psutil.Process(run.pid).children():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (page,) = psutil.Process(run.pid).children()
        run.kill()
    page.wait(60.0)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def test_a_board_is_bounded_however_long_the_run():
    board = Board()
    for i in range(5000):
        board.take("points", [("run/steps_per_s", float(i), i), (f"reward/{i}", 1.0, i)], {})
        board.take("event", float(i), "x" * 10_000)
        board.take("failure", b"p", {"reason": "collision"})
        board.take("picture", str(i), b"p", {})
    assert len(board.state()) < 400_000
    curves = json.loads(board.curves())
    assert len(curves) <= 300
    long = curves["run/steps_per_s"]
    assert 200 <= len(long["x"]) <= 400
    np.testing.assert_allclose(long["y"], np.array(long["x"]) - (long["x"][1] - long["x"][0] - 1) / 2, rtol=1e-3)


class _Heard(Silence):
    watched = True

    def __init__(self) -> None:
        self.pictures: list[tuple] = []
        self.failures: list[tuple] = []

    def picture(self, place, picture, facts):
        self.pictures.append((place, picture, dict(facts)))

    def failure(self, picture, facts):
        self.failures.append((picture, dict(facts)))


def test_watched_environments_answer_what_the_environments_answer():
    description = EnvDescription(
        task="t", action_names=("a",), picture_key="picture", episode_metrics_key="metrics", speed_key="speed"
    )
    failed = {"success": 0, "reason": "blocked", "route_completion": 0.5}
    infos = [
        {"speed": 10.0, "picture": b"jpeg"},
        {"speed": 0.0, "metrics": failed},
        {"speed": 0.0, "metrics": {"success": 1}},
    ]
    transitions = [SimpleNamespace(environment=i, info=info, next_observation=None) for i, info in enumerate(infos)]
    answers = SimpleNamespace(transitions=transitions)
    inner = SimpleNamespace(receive=lambda wait=True: answers)
    page = _Heard()
    assert WatchedEnvironments(inner, description, page, 2.0).receive() is answers
    assert page.pictures == [("0", b"jpeg", {"speed_kmh": 36.0})]
    ((picture, facts),) = page.failures
    assert picture is None
    assert (facts["reason"], facts["environment"]) == ("blocked", 1)


def test_without_pictures_of_its_own_an_environment_shows_what_is_observed():
    description = EnvDescription(task="t", action_names=("a",))
    seen = {"image": np.full((4, 84, 84), 128, np.uint8), "vector": np.zeros(3, np.float32)}
    answers = SimpleNamespace(transitions=[SimpleNamespace(environment=0, info={}, next_observation=seen)] * 3)
    page = _Heard()
    WatchedEnvironments(SimpleNamespace(receive=lambda wait=True: answers), description, page, 2.0).receive()
    assert len(page.pictures) == 1, "not more often than was asked for"
    assert page.pictures[0][1].startswith(b"\xff\xd8")
    vector = SimpleNamespace(environment=1, info={}, next_observation=np.zeros(3, np.float32))
    WatchedEnvironments(
        SimpleNamespace(receive=lambda wait=True: SimpleNamespace(transitions=[vector])), description, page, 2.0
    ).receive()
    assert len(page.pictures) == 1


def test_its_own_process_knows_no_jax():
    """It is there in a moment, and takes little memory."""
    script = "import sys, avtd3_jax.monitor.server; sys.exit('jax' in sys.modules or 'carla' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, env={**os.environ}, timeout=120).returncode == 0
