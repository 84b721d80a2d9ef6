"""The benchmark of faults would notice: transitions that are missing, a leak; and its faults are what they say."""

import itertools
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.replay.ring import FrameRing
from envloop.free_ports import free_ports
from robustness.faults.ledger import _missing
from robustness.faults.shims import Shim
from robustness.faults.usage import slope
from robustness.faults.wire import Wire


def ring(lengths: list[int], capacity: int = 100) -> FrameRing:
    replay = FrameRing(ObsSpec(image=None, vector=1), ActionSpec(1), capacity)
    for length in lengths:
        replay.begin_episode(np.zeros(1, np.float32))
        for _ in range(length):
            replay.add(np.zeros(1), 0.0, np.zeros(1, np.float32), False, False)
    return replay


@pytest.mark.parametrize(
    ("counted", "told", "unsure", "stored", "missing"),
    [
        (12, [3, 4, 5], [], [[3, 4, 5]], 0),
        (14, [3, 4, 5], [], [[3, 4, 5, 2]], 0),  # the last was under way
        (12, [3, 4, 5, 0], [0], [[3, 4, 5]], 0),  # torn before its first transition
        (12, [3, 4, 5], [], [[3, 4, 4]], 5),  # an episode that is not in the replay as it was told
        (11, [3, 4, 5], [], [[3, 4, 4]], 5),
        (13, [3, 4, 5], [], [[3, 4, 5]], 1),  # counted and nowhere
        (12, [3, 4, 5, 7], [7], [[3, 4, 5]], 0),  # torn after the checkpoint
        (20, [3, 4, 5], [], [[3, 5, 6], [4, 2]], 0),  # two environments, both under way
        (20, [3, 4, 5], [], [[3, 5, 6], [4, 1]], 1),
    ],
)
def test_the_books_show_what_is_missing(counted, told, unsure, stored, missing):
    assert _missing(counted, told, unsure, [ring(lengths) for lengths in stored]) == missing


def test_the_books_hold_where_the_replay_has_overwritten_its_oldest():
    overwritten = [ring([30, 40, 50, 7], capacity=60)]
    assert _missing(127, [30, 40, 50], [], overwritten) == 0
    assert _missing(126, [30, 40, 50], [], overwritten) == 1


def test_a_leak_is_seen_through_noise_and_outliers():
    rng = np.random.default_rng(0)
    moments = np.arange(0.0, 600.0, 2.0)
    flat = 500.0 + rng.normal(0.0, 3.0, moments.size) + 200.0 * (rng.random(moments.size) < 0.05)
    samples = [{"s": s, "flat": f, "leak": f + 0.02 * s} for s, f in zip(moments, flat, strict=True)]
    assert abs(slope(samples, "flat")) < 0.005
    assert slope(samples, "leak") == pytest.approx(0.02, abs=0.005)


@pytest.fixture
def served():
    """A port with frames of 20 kB, numbered, on the one after it, to whoever connects; and a wire to them."""
    with socket.socket() as rpc, socket.socket() as stream:
        port = free_ports(2)
        rpc.bind(("127.0.0.1", port))
        stream.bind(("127.0.0.1", port + 1))
        for listener in (rpc, stream):
            listener.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = stream.accept()
                except OSError:
                    return
                with client:
                    for number in itertools.count():
                        try:
                            client.sendall(struct.pack("<II", 20_000, number) + bytes(19_996))
                        except OSError:
                            break
                        time.sleep(0.01)

        threading.Thread(target=serve, daemon=True).start()
        with Wire(rpc.getsockname()[1]) as wire:
            yield wire
        stream.shutdown(socket.SHUT_RDWR)


def frames(connection: socket.socket, count: int) -> list[int]:
    """Numbers of the next frames."""
    numbers = []
    for _ in range(count):
        data = connection.recv(20_004, socket.MSG_WAITALL)
        if len(data) < 20_004:
            raise EOFError(len(data))
        numbers.append(struct.unpack_from("<I", data, 4)[0])
    return numbers


def test_the_wire_delivers_swallows_and_cuts(served):
    with socket.create_connection((served.host, served.port + 1), timeout=10.0) as connection:
        assert frames(connection, 3) == [0, 1, 2]
        served.swallow_a_picture()
        last, gap = 2, 1
        while gap == 1:  # some were under way
            (number,) = frames(connection, 1)
            last, gap = number, number - last
        assert gap == 2
        assert frames(connection, 20) == list(range(last + 1, last + 21))
        served.cut_in_a_picture()
        with pytest.raises(EOFError, match="10004"):
            frames(connection, 100_000)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_wall_clock_jumps_and_a_monotonic_one_does_not(tmp_path):
    with Shim("clock", tmp_path) as clock:
        clock[0] = -3600
        look = "import time; print(time.time(), time.monotonic())"
        done = subprocess.run([sys.executable, "-c", look], env=clock.environment, capture_output=True, check=True)
        wall, monotonic = map(float, done.stdout.split())
        assert time.time() - 3600.0 - wall == pytest.approx(0.0, abs=60.0)
        assert time.monotonic() - monotonic == pytest.approx(0.0, abs=60.0)
