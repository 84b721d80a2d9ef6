"""Same seed, same controls: same frames, byte for byte, but for frame and episode numbers and the platform's clock."""

import struct

import carla
from server_process import (
    RawRpc,
    RawStream,
    ServerProcess,
    SyncWorld,
    launch,
    ready,
    running_server,
    synchronous,
    wait_until,
)

from envloop.free_ports import free_ports

HEADER = 48
PLATFORM_TIME = slice(HEADER + 8, HEADER + 16)


def masked(frame: bytes, snapshot: bool) -> bytes:
    """The frame without what may differ."""
    data = bytearray(frame)
    data[8:16] = bytes(8)  # frame number
    if snapshot:
        data[HEADER : HEADER + 8] = bytes(8)  # episode
        data[PLATFORM_TIME] = bytes(8)
        data[HEADER + 32 : HEADER + 36] = bytes(4)  # the first tick of an episode says that the map has changed
    return bytes(data)


def scripted_drive(sync: SyncWorld, ticks: int = 30) -> list[bytes]:
    """Two cars that collide, a walker, rain; all snapshots and frames of four sensors."""
    token = struct.unpack_from("<IH", bytes_of_token(sync))
    snapshots = RawStream(token[1], 1)
    car = sync.car()
    ahead = carla.Transform(
        car.get_location() + 7.0 * car.get_transform().get_forward_vector(), car.get_transform().rotation
    )
    sync.spawn("vehicle.audi.tt", ahead, color="200,0,0")
    walker = sync.spawn("walker.pedestrian.0002", sync.spawn_points[4])
    kinds = ("sensor.camera.rgb", "sensor.camera.semantic_segmentation", "sensor.other.imu", "sensor.other.gnss")
    offset = carla.Transform(carla.Location(1.6, 0.0, 1.5), carla.Rotation(pitch=-5.0))
    streams = []
    for kind in kinds:
        noise = {"noise_seed": 5, "noise_gyro_stddev_z": 0.1} if kind.endswith("imu") else {}
        size = {"image_size_x": 48, "image_size_y": 32} if "camera" in kind else noise
        streams.append(sync.listen(sync.spawn(kind, offset, car, **size)))
    sync.world.set_weather(carla.WeatherParameters.HardRainNoon)
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.0, False))
    frames = []
    for tick in range(ticks):
        car.apply_control(carla.VehicleControl(throttle=0.9, steer=0.01 * (tick % 5)))
        frame = sync.world.tick()
        while struct.unpack_from("<Q", record := snapshots.frame(), 8)[0] != frame:
            pass
        frames.append(masked(record, snapshot=True))
        for _, events in streams:
            event = events.get(timeout=10.0)
            assert event.frame == frame
            frames.append(raw(event))
    snapshots.close()
    return frames


def bytes_of_token(sync: SyncWorld) -> bytes:
    rpc = RawRpc(sync.port)
    token = rpc.call("get_episode_info")[0][1][1][0]
    rpc.close()
    return token


def raw(event) -> bytes:
    if isinstance(event, carla.Image):
        return bytes(event.raw_data)
    if isinstance(event, carla.IMUMeasurement):
        vectors = (event.accelerometer, event.gyroscope)
        return repr([(v.x, v.y, v.z) for v in vectors] + [event.compass]).encode()
    return repr((event.latitude, event.longitude, event.altitude)).encode()


def fresh_episode(sync: SyncWorld) -> SyncWorld:
    return SyncWorld(sync.client, sync.client.reload_world(False), sync.port)


def test_two_episodes_of_one_server_and_another_server_agree(server: ServerProcess, sync: SyncWorld):
    first = scripted_drive(fresh_episode(sync))
    second = scripted_drive(fresh_episode(sync))
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        assert one == other, f"item {number} differs"
    sync.__init__(sync.client, sync.client.reload_world(False), sync.port)
    with running_server() as another:
        elsewhere = synchronous(another)
        assert scripted_drive(fresh_episode(elsewhere)) == first


def test_a_client_that_stays_sees_a_restarted_server():
    """Its frames count from 1 again, so it must be another episode's: a client leaves out what is not newer."""
    port = str(free_ports(2))
    with running_server("--port", port) as first:
        client = first.client()
        world = client.get_world()
        episode = world.id
        world.apply_settings(carla.WorldSettings(fixed_delta_seconds=0.05))  # as fast as it can
        assert wait_until(lambda: world.get_snapshot().frame > 2000)
        last = world.get_snapshot()
    with ready(launch("--port", port)) as second:
        # Its streams connect anew by themselves.
        assert wait_until(lambda: 0 < world.get_snapshot().frame < last.frame)
        assert second.client().get_world().id > episode
        stream = RawStream(second.port + 1, 1)
        state_bits = stream.frame()[HEADER + 32 : HEADER + 36]
        stream.close()
        assert state_bits == bytes(4), "a changed map would make it ask by its dead connection, and abort"
        assert world.get_snapshot().timestamp.elapsed_seconds < last.timestamp.elapsed_seconds


def test_frames_are_small_enough_for_the_names_of_files():
    with running_server() as server:
        assert server.client().get_world().wait_for_tick().frame < 1000


def test_seed_moves_the_noise(server: ServerProcess, sync: SyncWorld):
    def latitude(world: SyncWorld) -> float:
        _, events = world.listen(world.spawn("sensor.other.gnss", carla.Transform(), noise_lat_stddev=1e-4))
        world.world.tick()
        return events.get(timeout=10.0).latitude

    with running_server("--seed", "7") as other:
        assert latitude(synchronous(other)) != latitude(sync)
