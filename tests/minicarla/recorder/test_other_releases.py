"""Recordings of CARLA releases whose blueprints are not these."""

import struct
from pathlib import Path

from carla_file import counted, frame, position, recording, string
from server_process import SyncWorld

CAR = 7001


def car_of(attributes: list[tuple[int, str, str]]) -> bytes:
    """The record of a new vehicle that stands apart; attributes are (type, name, value)."""
    start = struct.pack("<IB6fI", CAR, 1, 10_000.0, 5000.0, 0.0, 0.0, 0.0, 0.0, 9) + string("vehicle.tesla.model3")
    rows = [bytes([kind]) + string(name) + string(value) for kind, name, value in attributes]
    return start + struct.pack("<H", len(rows)) + b"".join(rows)


def test_a_car_of_another_release_takes_those_attributes_that_it_can_have(sync: SyncWorld, tmp_path: Path):
    """0.9.15 counts types from 0, so that its colours are of type 4; what there is constant may differ here."""
    car = car_of(
        [
            (1, "number_of_wheels", "6"),
            (3, "base_type", "spaceship"),
            (3, "role_name", "hero"),
            (4, "color", "1,2,3"),
            (0, "sticky_control", "perhaps"),
            (3, "of_tomorrow", "yes"),
        ]
    )
    path = tmp_path / "older.log"
    there = counted(6, position(CAR, 10_000.0, 5000.0, 0.0, 0.0, 0.0, 0.0))
    path.write_bytes(recording(frame(1, 1.0, 0.0, counted(2, car), there), frame(2, -1.0, 1.0, there)))
    sync.client.replay_file(str(path), 0.0, 0.0, 0)
    sync.world.tick()
    attributes = sync.world.get_actor(CAR).attributes
    sync.client.stop_replayer(False)
    expected = {
        "number_of_wheels": "4",
        "base_type": "car",
        "role_name": "hero",
        "color": "1,2,3",
        "sticky_control": "true",
    }
    assert {name: attributes[name] for name in expected} == expected
    assert "of_tomorrow" not in attributes
