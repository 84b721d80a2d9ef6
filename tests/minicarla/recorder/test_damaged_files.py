"""Recordings that are cut off, damaged or made to do harm: a sentence, at no great cost."""

import asyncio
import contextlib
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from carla_file import added, counted, frame, packet, position, recording
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicarla.geometry.types import Pose
from minicarla.maps import load_town
from minicarla.protocol.rpc import RpcError
from minicarla.protocol.streams import Streams
from minicarla.recorder.control import RecorderControl
from minicarla.recorder.files import RecordingFolder
from minicarla.sensors.factory import SensorFactory
from minicarla.world.snapshot import SnapshotPacker
from minicarla.world.state import SimulationState
from minicarla.world.tick import tick

LITTLE, LITTLE_S = 4 << 20, 2.0  # bytes of memory, seconds of this thread's own
HERE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


class Desk:
    """A simulation without clients, and its recorder."""

    def __init__(self, folder: Path) -> None:
        town = load_town("Grid01")
        self.file = folder / "any.log"
        self.state = SimulationState(town, Streams(), 0, SensorFactory(town))
        self.control = RecorderControl(self.state, RecordingFolder(folder, is_shared=True))
        self._snapshots = SnapshotPacker()

    def read(self, data: bytes) -> list[str]:
        """All that clients can do with a file; the texts that they get."""
        self.file.write_bytes(data)
        return asyncio.run(self._read())

    async def _read(self) -> list[str]:
        control, name = self.control, "any.log"
        texts = [
            await control.file_info(name, True),
            await control.file_info(name, False),
            await control.collisions(name, "a", "a"),
            await control.actors_blocked(name, 0.0, 100.0),
            await control.replay(name, 0.02, 0.0, 7, True, Pose(0.0, 0.0, 5.0), lambda: "Grid01", _no_town),
        ]
        for _ in range(4):
            self.tick()
        self.clear()
        return texts

    def tick(self) -> None:
        tick(self.state, self._snapshots, 0.05)

    def clear(self) -> None:
        self.control.stop_replay(keep_actors=False)
        for actor_id in list(self.state.actors):
            self.state.destroy(actor_id)


def _no_town(name: str) -> None:
    raise RpcError(f"there is no map {name}")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("recordings"))


def frames() -> list[bytes]:
    car, walker = 7, 8
    arrivals = counted(
        2,
        added(car, 1, "vehicle.tesla.model3", (1000.0, 0.0, 0.0, 0.0, 0.0, 0.0), {"role_name": "hero"}),
        added(walker, 2, "walker.pedestrian.0001", (1000.0, 900.0, 93.0, 0.0, 0.0, 0.0)),
        added(9, 5, "sensor.other.imu", (1000.0, 0.0, 100.0, 0.0, 0.0, 0.0)),
    )
    made = []
    for number in range(1, 5):
        places = [position(actor, 1000.0 + 10.0 * number, 9.0, 93.0, 0.0, 0.0, 5.0) for actor in (car, walker)]
        made.append(
            frame(
                number,
                0.05,
                0.05 * (number - 1),
                arrivals if number == 1 else counted(2),
                counted(3, struct.pack("<I", walker)) if number == 4 else counted(3),
                counted(4, struct.pack("<II", 9, car)) if number == 1 else counted(4),
                counted(5, struct.pack("<III??", number, car, walker, True, False)),
                counted(6, *places),
                counted(7, struct.pack("<I?fB", 1, False, 1.0, 2)),
                counted(8, struct.pack("<Ifff?i", car, 0.1, 0.5, 0.0, False, 1)),
                counted(9, struct.pack("<If", walker, 120.0)),
                counted(10, struct.pack("<II", car, 3)),
                packet(14, struct.pack("<d", 0.25)),
                counted(15, struct.pack("<I5f?7fIIII", car, *[1.0] * 5, True, *[1.0] * 7, 0, 0, 0, 0)),
                counted(19, struct.pack("<IH", walker, 0)),
            )
        )
    return made


@contextlib.contextmanager
def costs_little() -> Iterator[None]:
    """What is done in the block."""
    began_s = time.thread_time()
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LITTLE
    assert time.thread_time() - began_s < LITTLE_S


WHOLE = recording(*frames(), town="Grid01")
HEADER = len(recording(town="Grid01"))


def test_the_whole_file_is_read(desk: Desk):
    texts = desk.read(WHOLE)
    assert all("cannot be read" not in text for text in texts)
    assert "Total time recorded: 0.15\n" in texts[-1]


@settings(max_examples=30, deadline=None, suppress_health_check=HERE)
@given(end=st.integers(0, len(WHOLE) - 1))
def test_of_a_file_that_is_cut_off_what_is_whole_is_read(desk: Desk, end: int):
    with costs_little():
        info = desk.read(WHOLE[:end])[0]
    if end < HEADER:
        assert info == "File is not a CARLA recorder\n"
        return
    ends = [len(recording(*frames()[:count], town="Grid01")) for count in range(5)]
    whole = max(count for count in range(5) if ends[count] <= end)
    assert f"\nFrames: {whole}\n" in info
    assert ("cannot be read: it is cut off\n" in info) is (end not in ends)


@settings(max_examples=60, deadline=None, suppress_health_check=HERE)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=12),
    wild=st.lists(st.tuples(st.integers(HEADER, len(WHOLE) - 8), st.floats(width=32)), max_size=4),
)
def test_a_damaged_file_gets_a_text_and_costs_little(
    desk: Desk, changes: list[tuple[int, int]], wild: list[tuple[int, float]]
):
    data = bytearray(WHOLE)
    for place, number in wild:
        struct.pack_into("<f", data, place, number)
    for place, value in changes:
        data[place] = value
    with costs_little():
        texts = desk.read(bytes(data))
    assert all(isinstance(text, str) and text.endswith("\n") and len(text) < 200_000 for text in texts)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (b"\x06\xff\xff\xff\x02", "it is cut off"),
        (packet(6, b"\xff\xff"), "a packet of 65535 records has 2 bytes"),
        (b"\x06\xff\xff\xff\xff", "it has more than 67108864 bytes"),
        (counted(2, struct.pack("<IB6fI", 7, 1, *[0.0] * 6, 0) + b"\xff\xff"), "a string is longer than its packet"),
        (counted(15, struct.pack("<I5f?7fI", 7, *[1.0] * 5, True, *[1.0] * 7, 0xFFFFFFFF)), "an array is longer"),
        (packet(0, struct.pack("<Qdd", 1, 0.05, 0.0)), "another one begins within it"),
    ],
)
def test_what_claims_to_be_large_is_not_believed(desk: Desk, harm: bytes, sentence: str):
    with costs_little():
        info = desk.read(recording(frames()[0], frame(2, 0.05, 0.05, harm), town="Grid01"))[0]
    assert info.rpartition("\n\n")[2].startswith("Frames: 1\n")
    assert f"What follows number 1 cannot be read: {sentence}" in info


@pytest.mark.parametrize("elapsed", [float("nan"), float("inf"), -1.0, 0.01])
def test_time_that_does_not_go_on_ends_the_recording(desk: Desk, elapsed: float):
    data = recording(frames()[0], frames()[1], frame(3, 0.05, elapsed), town="Grid01")
    assert all("its time does not go on" in text for text in desk.read(data))


def test_places_that_cannot_be_move_nobody(desk: Desk):
    places = [(float("nan"), 0.0), (float("inf"), 0.0), (0.0, 1e30)]
    rows = [position(7, x, y, 0.0, 0.0, 0.0, float("nan")) for x, y in places]
    desk.file.write_bytes(recording(frames()[0], frame(2, 0.05, 0.05, counted(6, *rows)), town="Grid01"))

    async def placed() -> list[float]:
        arguments = ("any.log", 0.0, 0.0, 0, False, Pose(0.0, 0.0, 5.0))
        await desk.control.replay(*arguments, lambda: "Grid01", _no_town)
        desk.tick()
        return [coordinate for car in desk.state.vehicles for coordinate in (car.pose.x, car.pose.y, car.pose.yaw)]

    assert asyncio.run(placed()) == [10.0, 0.0, 0.0]
    desk.clear()
