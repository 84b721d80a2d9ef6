"""What the stock client is told about recordings, to the letter: files written by hand, texts as CARLA has them."""

import os
import struct
import time
from pathlib import Path

import carla
import pytest
from carla_file import added, counted, frame, packet, position, recording
from server_process import ServerProcess

CAR, TRUCK, WALKER = 101, 102, 103
HERO = {"role_name": "hero", "color": "255,241,0"}
DATE = time.strftime("%m/%d/%y %H:%M:%S", time.localtime(1_700_000_000))
HEAD = f"Version: 1\nMap: Town01\nDate: {DATE}\n\n"


@pytest.fixture
def client(server: ServerProcess) -> carla.Client:
    return server.client()


def written(folder: Path, *frames: bytes) -> str:
    path = folder / "by_hand.log"
    path.write_bytes(recording(*frames))
    return str(path)


def full_recording(folder: Path) -> str:
    """Two frames with every packet that CARLA 0.9.16 writes, and one that is not known."""
    first = frame(
        1,
        0.05,
        0.0,
        packet(20, struct.pack("<d", 12.5)),
        counted(
            2,
            added(1, 0, "spectator", (-26000.0, -20000.0, 38200.1, 0.0, 0.0, 0.0)),
            added(CAR, 1, "vehicle.tesla.model3", (4347.63, -8409.51, 120.0, 0.0, 0.0, 90.0), HERO),
        ),
        counted(3),
        counted(4),
        counted(5),
        counted(23),
        counted(6, position(CAR, 4347.63, -8409.51, 0.5, 0.25, -1.5, 90.0)),
        counted(7, struct.pack("<I?fB", 8, True, 1.5, 2)),
        counted(8, struct.pack("<Ifff?i", CAR, -0.5, 0.75, 0.0, True, -1)),
        counted(9, struct.pack("<If", WALKER, 140.0)),
        counted(10, struct.pack("<II", CAR, 0x1 | 0x2 | 0x80 | 0x100), struct.pack("<II", TRUCK, 0)),
        counted(11, struct.pack("<if4f?B", 5, 1000.0, 1.0, 0.5, 0.25, 1.0, True, 1)),
        counted(21, struct.pack("<II", CAR, 1) + struct.pack("<Bff", 0, 10.0, -90.0)),
        counted(22, struct.pack("<Iff", CAR, 500.0, 0.5)),
        counted(12, struct.pack("<I6f", CAR, 1.5, -2.0, 0.0, 0.0, 0.0, 12.5)),
        counted(13, struct.pack("<I6f", CAR, 0.0, 0.0, 75.0, 239.6, 108.2, 74.4)),
        counted(17, struct.pack("<I6f", 8, 100.0, 200.0, 50.0, 150.0, 300.0, 50.0)),
        packet(14, struct.pack("<d", 0.125)),
        counted(15, _physics()),
        counted(16, struct.pack("<Ifff", 8, 10.0, 3.0, 2.0)),
        counted(19, _bones()),
        packet(150, b"for others"),
    )
    second = frame(
        2,
        -1.0,
        0.05,
        counted(3, struct.pack("<I", 1)),
        counted(4, struct.pack("<II", WALKER, CAR)),
        counted(5, struct.pack("<III??", 9, CAR, TRUCK, True, False)),
        counted(23, struct.pack("<IB?", CAR, 1, True)),
    )
    return written(folder, first, second)


def _physics() -> bytes:
    engine = struct.pack("<5f?4f3f", 6000.0, 1.0, 0.15, 2.0, 0.35, True, 10.0, 9.0, 1845.0, 0.3, 0.5, 0.0, -0.25)
    torque = struct.pack("<I4f", 2, 0.0, 400.0, 1890.75, 500.0)
    gears = struct.pack("<I3f", 1, 1.0, 0.5, 0.65)
    steering = struct.pack("<I2f", 1, 20.0, 0.9)
    wheel = struct.pack("<I12f", 1, 3.5, 0.25, 70.0, 35.5, 1500.0, 3000.0, 2.0, 17.0, 1000.0, 100.0, 200.0, 35.5)
    return struct.pack("<I", CAR) + engine + torque + gears + steering + wheel


def _bones() -> bytes:
    name = b"crl_root"
    return struct.pack("<IHH", WALKER, 1, len(name)) + name + struct.pack("<6f", 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


ADDED = """\
 Create 1: spectator (0) at (-26000, -20000, 38200.1)
 Create 101: vehicle.tesla.model3 (1) at (4347.63, -8409.51, 120)
  role_name = hero
  color = 255,241,0
"""
HAPPENED = """\
 Destroy 1
 Parenting 103 with 101 (parent)
 Collision id 9 between 101 (hero)  with 102
"""
ALL = f"""\
{HEAD}Frame 1 at 0 seconds
{ADDED} Positions: 1
  Id: 101 Location: (4347.63, -8409.51, 0.5) Rotation: (0.25, -1.5, 90)
 State traffic lights: 1
  Id: 8 state: 2 frozen: 1 elapsedTime: 1.5
 Vehicle animations: 1
  Id: 101 Steering: -0.5 Throttle: 0.75 Brake: 0 Handbrake: 1 Gear: -1
 Walker animations: 1
  Id: 103 speed: 140
 Vehicle light animations: 2
  Id: 101 Position LowBeam Interior Fog
  Id: 102 None
 Scene light changes: 1
  Id: 5 enabled: True intensity: 1000 RGB_color: (1, 0.5, 0.25)
 Dynamic actors: 1
  Id: 101 linear_velocity: (1.5, -2, 0) angular_velocity: (0, 0, 12.5)
 Actor bounding boxes: 1
  Id: 101 origin: (0, 0, 75) extension: (239.6, 108.2, 74.4)
 Actor trigger volumes: 1
  Id: 8 origin: (100, 200, 50) extension: (150, 300, 50)
 Current platform time: 0.125
 Physics Control events: 1
  Id: 101
   max_rpm = 6000
   MOI = 1
   damping_rate_full_throttle = 0.15
   damping_rate_zero_throttle_clutch_engaged = 2
   damping_rate_zero_throttle_clutch_disengaged = 0.35
   use_gear_auto_box = true
   gear_switch_time = 0
   clutch_strength = 10
   final_ratio = 9
   mass = 1845
   drag_coefficient = 0.3
   center_of_mass = (0.5, 0, -0.25)
   torque_curve = (0, 400) (1890.75, 500)
   steering_curve = (20, 0.9)
   forward_gears:
    gear 0: ratio 1 down_ratio 0.5 up_ratio 0.65
   wheels:
    wheel 0: tire_friction 3.5 damping_rate 0.25 max_steer_angle 70 radius 35.5 max_brake_torque 1500 \
max_handbrake_torque 3000 position (100, 200, 35.5)
 Traffic Light time events: 1
  Id: 8 green_time: 10 yellow_time: 3 red_time: 2
 Walkers Bones: 1
  Id: 103
     Bone: "crl_root" relative: Loc(1, 2, 3) Rot(4, 5, 6)

Frame 2 at 0.05 seconds
{HAPPENED} Vehicle door animations: 1
  Id: 101
  Doors opened:  Front Right \n
Frames: 2
Duration: 0.05 seconds
"""


def test_everything_of_a_recording_is_shown_as_carla_shows_it(client: carla.Client, tmp_path: Path):
    assert client.show_recorder_file_info(full_recording(tmp_path), True) == ALL


def test_a_summary_has_the_frames_in_which_something_happens(client: carla.Client, tmp_path: Path):
    name = full_recording(tmp_path)
    end = "\nFrames: 2\nDuration: 0.05 seconds\n"
    expected = f"{HEAD}Frame 1 at 0 seconds\n{ADDED}Frame 2 at 0.05 seconds\n{HAPPENED}{end}"
    assert client.show_recorder_file_info(name, False) == expected


CRASHES = (
    added(CAR, 1, "vehicle.yamaha.yzf", (0.0,) * 6, HERO),
    added(TRUCK, 1, "vehicle.dodge.charger_police", (0.0,) * 6),
    added(WALKER, 2, "walker.pedestrian.0001", (0.0,) * 6),
)
TITLE = "    Time  Types     Id Actor 1                                 Id Actor 2                            \n"


def crash_recording(folder: Path) -> str:
    def hit(number: int, one: int, other: int) -> bytes:
        return struct.pack("<III??", number, one, other, one == CAR, other == CAR)

    town = 0xFFFFFFFF
    return written(
        folder,
        frame(1, 16.0, 0.0, counted(2, *CRASHES)),
        frame(2, 1.0, 16.0, counted(5, hit(0, CAR, TRUCK))),
        frame(3, 10.0, 17.0, counted(5, hit(1, CAR, TRUCK), hit(2, TRUCK, WALKER))),
        frame(4, 1.0, 27.0, counted(5)),
        frame(5, -1.0, 28.0, counted(5, hit(3, CAR, TRUCK), hit(4, CAR, town))),
    )


BOTH = "v v     101 vehicle.yamaha.yzf                     102 vehicle.dodge.charger_police       \n"
RUN_OVER = "v w     102 vehicle.dodge.charger_police           103 walker.pedestrian.0001             \n"
HOUSE = "v o     101 vehicle.yamaha.yzf                  4294967295                                    \n"


@pytest.mark.parametrize(
    ("types", "rows"),
    [
        ("aa", f"      16   {BOTH}      17   {RUN_OVER}      28   {BOTH}      28   {HOUSE}"),
        ("vw", f"      17   {RUN_OVER}"),
        ("hv", f"      16   {BOTH}      28   {BOTH}"),
        ("wa", ""),
    ],
)
def test_collisions_are_listed_when_they_begin(client: carla.Client, tmp_path: Path, types: str, rows: str):
    end = "\nFrames: 5\nDuration: 28 seconds\n"
    assert client.show_recorder_collisions(crash_recording(tmp_path), *types) == f"{HEAD}{TITLE}{rows}{end}"


def test_a_type_that_there_is_not_is_refused(client: carla.Client, tmp_path: Path):
    with pytest.raises(RuntimeError, match="must be one of a, h, o, v, w, t, not 'x'"):
        client.show_recorder_collisions(crash_recording(tmp_path), "x", "a")


def test_blocked_actors_are_listed_the_longest_first(client: carla.Client, tmp_path: Path):
    """One stands from 20 s to 50 s and drives on, one stands from 20 s to the end, one creeps."""
    frames = []
    for number in range(1, 8):
        elapsed = 10.0 * (number - 1)
        places = {
            CAR: min(number, 2) * 1000.0 + max(number - 5, 0) * 1000.0,
            TRUCK: 50_000.0 + min(number, 2) * 1000.0,
            WALKER: 90_000.0 + number * 100.0,
        }
        rows = [position(actor, x, 0.0, 0.0, 0.0, 0.0, 0.0) for actor, x in places.items()]
        events = counted(2, *CRASHES) if number == 1 else counted(2)
        frames.append(frame(number, -1.0 if number == 7 else 10.0, elapsed, events, counted(6, *rows)))
    name = written(tmp_path, *frames)
    title = "    Time     Id Actor                                 Duration\n"
    rows = (
        "      20    102 vehicle.dodge.charger_police                40\n"
        "      20    101 vehicle.yamaha.yzf                          30\n"
    )
    end = "\nFrames: 7\nDuration: 60 seconds\n"
    assert client.show_recorder_actors_blocked(name, 30, 100) == f"{HEAD}{title}{rows}{end}"
    assert client.show_recorder_actors_blocked(name, 41, 100) == f"{HEAD}{title}{end}"


def test_what_is_no_recording_is_told_in_words(client: carla.Client, tmp_path: Path):
    (tmp_path / "letter.log").write_text("Dear Sir or Madam")
    for name in ("letter.log", "none.log", "."):
        path = tmp_path / name
        answers = {
            client.show_recorder_collisions(f"{path}/x.log" if name == "." else str(path), "a", "a"),
            client.show_recorder_file_info(f"{path}/x.log" if name == "." else str(path), True),
        }
        expected = "File is not a CARLA recorder\n" if name == "letter.log" else "not found on server\n"
        assert all(answer.endswith(expected) for answer in answers), answers


def test_a_pipe_is_not_waited_for(client: carla.Client, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.log")
    assert client.show_recorder_file_info(str(tmp_path / "pipe.log"), True).endswith("not found on server\n")
