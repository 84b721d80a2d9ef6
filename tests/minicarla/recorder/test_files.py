"""Where recordings may be written, and how they end when they cannot go on."""

import os
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import carla
import psutil
import pytest
from carla_file import added, counted, frame, position, recording, text_frames
from server_process import ServerProcess, SyncWorld, launch, ready, running_server, synchronous, wait_until

from minicarla.protocol.rpc import RpcError
from minicarla.protocol.rpc_types import ArgumentError
from minicarla.recorder.files import RecordingFolder


@pytest.fixture
def folder(tmp_path: Path) -> RecordingFolder:
    return RecordingFolder(tmp_path / "saved", is_shared=False)


@pytest.fixture
def shared(tmp_path: Path) -> RecordingFolder:
    return RecordingFolder(tmp_path / "saved", is_shared=True)


@pytest.mark.parametrize("name", ["/tmp/a.log", "../a.log", "x/../../a.log", "link/a.log"])
def test_nothing_outside_of_the_folder_is_for_other_machines(shared: RecordingFolder, tmp_path: Path, name: str):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "link").symlink_to(tmp_path)
    with pytest.raises(RpcError, match="give a name within"):
        shared.path(name)
    assert shared.path("x/a.log") == tmp_path / "saved" / "x" / "a.log"


@pytest.mark.parametrize("name", ["/home/someone/.bashrc", "../authorized_keys", "/tmp/x.log/y"])
def test_outside_of_the_folder_only_recordings_names_are_taken(folder: RecordingFolder, name: str):
    with pytest.raises(RpcError, match=r"must end in \.log or \.rec"):
        folder.path(name)


@pytest.mark.parametrize("name", ["", ".", "x/..", "a\0b.log", "n" * 2000, 7, None])
def test_what_is_no_name_is_refused(folder: RecordingFolder, name: object):
    with pytest.raises((RpcError, ArgumentError)):
        folder.path(name)


def test_only_recordings_are_replaced(folder: RecordingFolder, tmp_path: Path):
    diary = tmp_path / "diary.log"
    diary.write_text("Dear diary")
    with pytest.raises(RpcError, match="is no recording and is not overwritten"):
        folder.create(diary)
    assert diary.read_text() == "Dear diary"
    with pytest.raises(RpcError, match=r"cannot write .*No such file"):
        folder.create(tmp_path / "nowhere" / "a.log")


@pytest.fixture
def recording_world(tmp_path: Path) -> Iterator[tuple[ServerProcess, SyncWorld]]:
    with running_server("--town", "Grid01", "--recordings", str(tmp_path)) as server:
        world = synchronous(server)
        world.car()
        yield server, world


def test_the_option_names_the_folder_and_a_full_disk_ends_the_recording(
    recording_world: tuple[ServerProcess, SyncWorld], tmp_path: Path
):
    server, sync = recording_world
    path = tmp_path / "runs" / "one.log"
    assert sync.client.start_recorder("runs/one.log") == str(path)
    limit = 200_000
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (limit, limit))  # a write beyond it fails as on a full disk
    while path.stat().st_size < limit:
        sync.ticks(20)
    sync.ticks(20)
    assert path.stat().st_size == limit
    answer = sync.client.show_recorder_file_info("runs/one.log", True)
    assert re.search(r"^What follows number \d+ cannot be read: it is cut off$", answer, re.MULTILINE)
    assert "Total time recorded" in sync.client.replay_file("runs/one.log", 0.0, 0.0, 0)
    sync.ticks(3)
    code, errors = server.stop()
    assert code == 0
    assert f"the recording {path} has ended: File too large" in errors


def test_of_a_killed_server_there_is_all_but_the_last_frame(
    recording_world: tuple[ServerProcess, SyncWorld], tmp_path: Path
):
    server, sync = recording_world
    (car,) = sync.world.get_actors().filter("vehicle.*")
    sync.client.start_recorder("cut.log")
    places = []
    for _ in range(30):
        car.apply_control(carla.VehicleControl(throttle=1.0))
        sync.world.tick()
        places.append(car.get_location())
    os.kill(server.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(server.pid)] if psutil.pid_exists(server.pid) else [], timeout=60)
    with ready(launch("--port", "0", "--town", "Grid01", "--recordings", str(tmp_path))) as other:
        again = synchronous(other)
        frames = text_frames(again.client.show_recorder_file_info("cut.log", True))
        assert [one.number for one in frames] == list(range(1, 30))
        again.client.replay_file("cut.log", 0.0, 0.0, 0)
        for place in places[:28]:
            again.world.tick()
            assert again.world.get_actor(car.id).get_location().distance(place) < 0.01


def test_a_replay_goes_to_the_recordings_map(recording_world: tuple[ServerProcess, SyncWorld], tmp_path: Path):
    server, _ = recording_world
    car = added(700, 1, "vehicle.tesla.model3", (10_000.0, 5000.0, 0.0, 0.0, 0.0, 90.0))
    there = counted(6, position(700, 10_000.0, 5000.0, 0.0, 0.0, 0.0, 90.0))
    frames = frame(1, 9.0, 0.0, counted(2, car), there), frame(2, -1.0, 9.0, there)
    (tmp_path / "elsewhere.log").write_bytes(recording(*frames, town="Town01"))
    client = server.client()
    answer = client.replay_file("elsewhere.log", 0.0, 0.0, 0)
    assert "Loading map Town01\nReplayer will start after map is loaded...\nTotal time recorded: 9\n" in answer
    world = client.get_world()
    assert world.get_map().name == "Carla/Maps/Town01"
    assert wait_until(lambda: [actor.id for actor in world.get_actors().filter("vehicle.*")] == [700])
    assert wait_until(lambda: world.get_actor(700).get_location().distance(carla.Location(100.0, 50.0, 0.0)) < 0.01)
