"""What a client may make the server hold or do, and that the others are served meanwhile."""

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import carla
import msgpack
import psutil
import pytest
from server_process import HOST, RawRpc, ServerProcess, SyncWorld, held_still, running_server, wait_until

from minicarla import limits
from minicarla.maps import load_town
from minicarla.maps.loader import structural_flaw
from minicarla.protocol.rpc import RpcConnection
from minicarla.protocol.rpc_types import ArgumentError, number, shown
from minicarla.server import Server
from robustness.fuzz.harness import Pipe
from robustness.fuzz.maps import small_map

MEGABYTE = 1 << 20
NOWHERE = [[0.0] * 3, [0.0] * 3]


@pytest.fixture
def raw(server: ServerProcess, sync: SyncWorld) -> Iterator[RawRpc]:
    with RawRpc(server.port) as client:
        yield client


def request(name: str, *arguments: object) -> bytes:
    return msgpack.packb([0, 1, name, [[False], *arguments]])


def spawn(blueprint: str, attributes: dict[str, str] | None = None, place: object = NOWHERE) -> list:
    kinds = {"image_size_x": 2, "image_size_y": 2}
    pairs = [[name, kinds.get(name, 3), value] for name, value in (attributes or {}).items()]
    return [[0, [[1, blueprint, pairs], place, [False], 0, "", []]]]


def errors(raw: RawRpc, commands: list) -> list[str]:
    return [response[0][1][0] for response in raw.call("apply_batch", commands, False) if response[0][0] == 0]


def test_a_client_that_never_reads_its_replies_is_left_waiting(server: ServerProcess):
    memory = psutil.Process(server.pid).memory_info().rss
    with socket.create_connection((HOST, server.port)) as deaf, RawRpc(server.port) as other:
        deaf.setblocking(False)
        data = request("get_map_data") * 500
        sent = 0
        for _ in range(2000):
            try:
                sent += deaf.send(data)
            except BlockingIOError:
                assert other.call("version") == [[1, "0.9.16"]]
                if sent and not wait_until(lambda: writable(deaf), 0.2):
                    break
        else:
            pytest.fail(f"{sent} bytes of requests were taken in, each with 300 kB of reply")
        assert psutil.Process(server.pid).memory_info().rss - memory < 64 * MEGABYTE
        # It may begin to read at any time, and then gets every reply.
        deaf.settimeout(20.0)
        read = 0
        while read < 20 * MEGABYTE:
            read += len(deaf.recv(MEGABYTE))


def writable(connection: socket.socket) -> bool:
    try:
        connection.send(b"")
        return bool(connection.send(b"\x94"))
    except BlockingIOError:
        return False


def test_ten_thousand_ticks_at_once_are_taken_in_turns(server: ServerProcess, sync: SyncWorld):
    with RawRpc(server.port) as greedy, RawRpc(server.port) as other:
        frame = sync.world.get_snapshot().frame
        settings = other.call("get_episode_settings")[0][1]
        with held_still(server):
            greedy.socket.sendall(request("tick_cue") * 2_000)
            other.send("set_episode_settings", settings)
        greedy.socket.sendall(request("tick_cue") * 8_000)
        ((_, reached),) = other.reply()[3]
        assert reached < frame + 2_000
        replies = [greedy.reply()[3][0][1] for _ in range(10_000)]
        assert replies == list(range(frame + 1, frame + 10_001)), "and in order"


def test_a_long_batch_is_taken_in_turns_and_answered_whole(server: ServerProcess, raw: RawRpc, sync: SyncWorld):
    one = spawn("static.prop.box01", place=[[-5000.0, 0.0, 0.0], [0.0] * 3])
    frame = sync.world.get_snapshot().frame
    raw.send("apply_batch", [one] * limits.MAX_ARRAY_ITEMS, True)
    with RawRpc(server.port) as other:
        assert other.call("version") == [[1, "0.9.16"]]
    responses = raw.reply()[3]
    assert len(responses) == limits.MAX_ARRAY_ITEMS
    assert [response[0][0] for response in responses[:2]] == [1, 0]
    assert wait_until(lambda: sync.world.get_snapshot().frame == frame + 1)


def test_the_last_calls_of_a_client_that_leaves_are_done(server: ServerProcess, sync: SyncWorld):
    """Scripts destroy their actors by a batch without waiting for it, and end."""
    cars = [spawn("static.prop.box01", place=[[-5000.0 - 9.0 * i, 0.0, 0.0], [0.0] * 3]) for i in range(300)]
    with RawRpc(server.port) as leaver:
        leaver.send("apply_batch", cars, False)
        leaver.send("apply_batch", cars, True)
    assert wait_until(lambda: len(sync.world.get_actors().filter("static.prop.box01")) == 300)


def test_room_for_bodies_sensors_pixels_and_chains(raw: RawRpc):
    crowd = [
        spawn("walker.pedestrian.0001", place=[[-5000.0 - 2.0 * i, 0.0, 0.0], [0.0] * 3])
        for i in range(limits.MAX_BODIES + 1)
    ]
    assert errors(raw, crowd) == [
        f"there are {limits.MAX_BODIES} vehicles, walkers and props already: destroy some first"
    ]
    sensors = [spawn("sensor.other.gnss")] * (limits.MAX_SENSORS + 1)
    assert errors(raw, sensors) == [f"there are {limits.MAX_SENSORS} sensors already: destroy some first"]
    raw.call("load_new_episode", "", True, 0)
    large = spawn("sensor.camera.rgb", {"image_size_x": "3840", "image_size_y": "2160"})
    assert "all cameras together" in errors(raw, [large] * 5)[0]
    chain: list = []
    for _ in range(limits.MAX_COMMAND_DEPTH + 1):
        chain = [[[0, [[1, "controller.ai.walker", []], NOWHERE, [False], 0, "", chain]]]]
    assert errors(raw, chain) == [], "what follows a spawn does not fail it"
    controllers = [
        actor for actor in raw.call("get_actors_by_id", list(range(200)))[0][1] if "controller" in actor[2][1]
    ]
    assert len(controllers) == limits.MAX_COMMAND_DEPTH
    many = [spawn("controller.ai.walker")] * (limits.MAX_COMMANDS_AFTER_SPAWN + 1)
    family = [[[0, [[1, "controller.ai.walker", []], NOWHERE, [False], 0, "", many]]]]
    assert "commands follow a spawn" in errors(raw, family)[0]
    parent = 0
    for _ in range(limits.MAX_ATTACHMENT_DEPTH + 1):
        link = [[[0, [[1, "controller.ai.walker", []], NOWHERE, [parent > 0, parent], 0, "", []]]]]
        ((_, parent),) = raw.call("apply_batch", link, False)[0]
    assert "attached" in parent[0]
    raw.call("load_new_episode", "", True, 0)


def test_a_thousand_bodies_in_one_place_do_not_stop_the_clock(raw: RawRpc, sync: SyncWorld):
    cars = [
        spawn("vehicle.tesla.model3", place=[[-5000.0 - 6.0 * i, 0.0, 0.0], [0.0] * 3])
        for i in range(limits.MAX_BODIES)
    ]
    ids = [response[0][1] for response in raw.call("apply_batch", cars, True)]
    here = [[60.0, 60.0, 0.0], [0.0, 30.0, 0.0]]
    heap = [[[6, [actor, here]]] for actor in ids] + [[[8, [actor, [200.0, 100.0, 0.0]]]] for actor in ids]
    assert errors(raw, heap) == []
    settings = sync.world.get_settings()
    settings.fixed_delta_seconds = 1.0
    sync.world.apply_settings(settings)
    for _ in range(3):
        sync.world.tick()
    raw.call("load_new_episode", "", True, 0)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("set_actor_transform", (1, [[1e7, 0.0, 0.0], [0.0] * 3])),
        ("set_actor_transform", (1, [[float("nan"), 0.0, 0.0], [0.0] * 3])),
        ("set_actor_location", (1, [0.0, float("-inf"), 0.0])),
        ("set_weather_parameters", ([1e10] * 14,)),
        ("set_episode_settings", ([True, False, [True], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True],)),
        ("set_episode_settings", ([True, False, [True, 1e-9], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True],)),
        ("set_episode_settings", ([True, False, [True, 1e300], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True],)),
        ("set_episode_settings", ([True, False, [False], True, 0.01, float("nan"), 0.0, True, 3000.0, 2000.0, True],)),
        ("add_traffic_manager_running", (["host", 70000],)),
        ("add_traffic_manager_running", (["h" * 300, 8000],)),
        ("spawn_actor", ([1, "sensor.camera.rgb", [["fov", 3, "nan"]]], NOWHERE)),
        ("spawn_actor", ([1, "sensor.camera.rgb", [["image_size_x", 2, "1e400"]]], NOWHERE)),
        ("spawn_actor", ([1, "sensor.other.imu", [["noise_gyro_bias_x", 3, "inf"]]], NOWHERE)),
        ("load_new_episode", ("x" * 100_000, True, 0)),
    ],
)
def test_what_cannot_be_is_refused_in_a_short_sentence(raw: RawRpc, method: str, arguments: tuple):
    ((failed, (sentence,)),) = raw.call(method, *arguments)
    assert failed in (0, True)
    assert "internal error" not in sentence
    assert len(sentence) < 400


def test_values_in_errors_are_short_however_long_or_deep():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, "x" * 10_000_000, [0.0] * 1_000_000, 10**4000):
        assert len(shown(value)) <= 80
        with pytest.raises(ArgumentError):
            number(value, "speed")


def test_documents_that_could_expand_and_maps_without_end():
    assert structural_flaw(small_map()) is None
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    assert "document type" in str(structural_flaw(small_map().replace("<OpenDRIVE>", f"{laughs}<OpenDRIVE>")))
    assert "km of lanes" in str(structural_flaw(roads(count=11, length=99_999.0)))
    assert "from the origin" in str(structural_flaw(small_map().replace('x="60"', 'x="1e7"')))


def roads(count: int, length: float) -> str:
    lanes = '<lane id="1" type="driving"/>' * 1
    one = (
        '<road id="{}" length="{}" junction="-1"><planView><geometry s="0" x="0" y="0" hdg="0" length="1"><line/>'
        '</geometry></planView><lanes><laneSection s="0"><left>{}</left></laneSection></lanes></road>'
    )
    return f"<OpenDRIVE>{''.join(one.format(i, length, lanes) for i in range(count))}</OpenDRIVE>"


def test_one_opendrive_text_at_a_time_and_others_are_served_meanwhile(server: ServerProcess):
    parameters = [2.0, 50.0, 1.0, 0.6, True, True, True]
    with RawRpc(server.port) as first, RawRpc(server.port) as second:
        with held_still(server):  # the first one's trial is short
            first.send("copy_opendrive_to_file", small_map(), parameters)
            second.send("copy_opendrive_to_file", small_map(), parameters)
        ((refused, (sentence,)),) = second.reply()[3]
        assert refused is True
        assert "another client's" in sentence
        assert second.call("version") == [[1, "0.9.16"]]
        assert first.reply()[3] == [[False]]
        assert first.call("load_new_episode", "OpenDriveMap", True, 0) == [[False]]
        ((_, (name, spawn_points)),) = second.call("get_map_info")
        assert name.endswith("OpenDriveMap")
        assert spawn_points
        assert first.call("load_new_episode", "Town01", True, 0) == [[False]]


def test_a_server_does_not_wait_for_a_text_under_trial_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, time\nif any('check_here' in word for word in sys.orig_argv): time.sleep(600)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with running_server() as server, RawRpc(server.port) as client:
        client.send("copy_opendrive_to_file", small_map(), [2.0, 50.0, 1.0, 0.6, True, True, True])
        assert wait_until(lambda: bool(psutil.Process(server.pid).children()))
        (trial,) = psutil.Process(server.pid).children()
        assert server.stop()[0] == 0
        assert wait_until(lambda: not trial.is_running())


def test_a_request_that_stops_half_way_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "MESSAGE_TIMEOUT_S", 0.05)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        server = Server(load_town(), 0, loop)
        slow = RpcConnection(server)
        pipe = Pipe(loop, slow, keep=True)
        for byte in request("version"):
            slow.data_received(bytes([byte]))
        assert msgpack.unpackb(pipe.received)[3] == [[1, "0.9.16"]]
        await asyncio.sleep(0.1)
        assert not pipe.is_closing(), "a whole request may be followed by silence"
        slow.data_received(request("version")[:9])
        await asyncio.sleep(0.2)
        assert pipe.is_closing()

    asyncio.run(scenario())


def test_flawed_requests_that_would_overtake_a_held_tick():
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        server = Server(load_town(), 0, loop)
        client = RpcConnection(server)
        pipe = Pipe(loop, client)
        settings = [True, False, [True, 0.05], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True]
        client.data_received(request("set_episode_settings", settings) + request("get_sensor_token", 1))
        flawed = msgpack.packb([0, "one", "get_episode_settings", [[False]]])
        client.data_received(request("tick_cue") + 2 * flawed)
        assert pipe.is_closing()

    asyncio.run(scenario())


def test_half_requests_of_many_clients_fill_no_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "MAX_PARTIAL_BYTES", 8 * MEGABYTE)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        server = Server(load_town(), 0, loop)
        connections = [RpcConnection(server) for _ in range(6)]
        pipes = [Pipe(loop, connection) for connection in connections]
        head = b"\x94\x00\x01" + msgpack.packb("copy_opendrive_to_file") + b"\x93\x91\xc2\xdb"
        for connection in connections:
            connection.data_received(head + struct.pack(">I", limits.MAX_XODR_BYTES) + bytes(2 * MEGABYTE))
        await asyncio.sleep(0)
        assert sum(connection.partial_bytes for connection in connections) <= limits.MAX_PARTIAL_BYTES
        assert sum(pipe.is_closing() for pipe in pipes) == 3

    asyncio.run(scenario())


def test_every_address_is_warned_about_and_loopback_is_not():
    for options, address in (((), "127.0.0.1"), (("--host", "0.0.0.0"), "0.0.0.0")):
        with running_server(*options) as server:
            with RawRpc(server.port) as client:
                assert client.call("version") == [[1, "0.9.16"]]
            connections = psutil.Process(server.pid).net_connections("tcp")
            assert {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN} == {address}
            _, told = server.stop()
        assert ("whoever reaches it can control the simulation" in told) is bool(options)


def test_a_sentence_for_a_stock_client(sync: SyncWorld):
    camera = sync.blueprints.find("sensor.camera.rgb")
    camera.set_attribute("image_size_x", "100000")
    camera.set_attribute("image_size_y", "100000")
    with pytest.raises(RuntimeError, match="too large"):
        sync.world.spawn_actor(camera, carla.Transform())
