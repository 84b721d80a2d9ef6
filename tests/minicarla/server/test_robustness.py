"""Bytes that no client sends, clients that vanish, too many of everything: one connection suffers, the server lives."""

import contextlib
import random
import socket
import struct

import carla
import msgpack
import pytest
from server_process import HOST, RawRpc, RawStream, ServerProcess, SyncWorld, held_still, running_server, wait_until

from minicarla import limits
from minicarla.handlers.registry import METHODS


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(10.0)
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def token_of(client: RawRpc, sensor: carla.Sensor) -> tuple[int, int]:
    """Stream id and port of a sensor."""
    ((_, (actor,)),) = client.call("get_actors_by_id", [sensor.id])
    return struct.unpack_from("<IH", actor[5])


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xc1",  # never used in msgpack
        b"\x91" * 100_000,  # arrays in arrays
        b"\xdd\xff\xff\xff\xff",  # an array of 2^32 items
        b"\xdf\xff\xff\xff\xff",
        b"\x94\x00\x01\xa7\xff\xff\xff\xff\xff\xff\xff\x91\x91\xc2",  # a method that is not UTF-8
        msgpack.packb({"jsonrpc": "2.0"}),
        msgpack.packb([0, 1, "version"]),
        msgpack.packb([0, 1, "version", []]),
        msgpack.packb([0, 1, 2, [[False]]]),
        msgpack.packb([2, 1, "version", [[False]]]),
        msgpack.packb([0, "one", "version", [[False]]]),
        msgpack.packb([0, 1, "version", 5]),
    ],
)
def test_malformed_bytes_close_that_connection_only(server: ServerProcess, data: bytes):
    bystander, offender = RawRpc(server.port), socket.create_connection((HOST, server.port))
    offender.sendall(data)
    assert is_closed(offender)
    offender.close()
    assert bystander.call("version") == [[1, "0.9.16"]]
    bystander.close()


def flood(connection: socket.socket, size: int) -> None:
    for _ in range(size >> 16):
        connection.sendall(bytes(1 << 16))
    assert not is_closed(connection)


def test_endless_message_is_cut_off(server: ServerProcess):
    offender = socket.create_connection((HOST, server.port))
    offender.settimeout(20.0)
    size = limits.MAX_XODR_BYTES
    offender.sendall(b"\x94\x00\x01\xdb" + struct.pack(">I", size))
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        flood(offender, 2 * size)
    offender.close()
    assert server.client().get_server_version() == "0.9.16"


def test_random_arguments_never_end_the_server():
    rng = random.Random(11)
    junk = [
        None,
        True,
        -1,
        0,
        1,
        2**63,
        1.5,
        float("nan"),
        float("inf"),
        "",
        "x" * 300,
        b"\0\1",
        [],
        [[]],
        {},
        {"a": 1},
    ]
    with running_server() as server, RawRpc(server.port) as client:  # one of its own: some of it makes sense by chance
        for method in sorted(METHODS):
            # Replies only: what these would change is not what is looked at here.
            if method in ("load_new_episode", "set_episode_settings", "apply_batch", "copy_opendrive_to_file"):
                continue
            for _ in range(12):
                arguments = [rng.choice(junk) for _ in range(rng.randrange(5))]
                client.send(method, *arguments)
                kind, _, error, result = client.reply()
                assert kind == 1
                assert error is None
                assert isinstance(result, list)
        assert client.call("version") == [[1, "0.9.16"]]


def test_a_bad_description_reaches_no_other_client(server: ServerProcess, sync: SyncWorld):
    offender = RawRpc(server.port)
    place = [[60.0, 60.0, 5.0], [0.0, 0.0, 0.0]]
    for description in (
        [1, "vehicle.tesla.model3", [["color", {"deep": [1]}, "1,2,3"]]],
        [1, "vehicle.tesla.model3", [["colour", 5, "1,2,3"]]],
        [1, "vehicle.tesla.model3", [["role_name", 4, "x" * 100_000]]],
        [1, "vehicle.tesla.model3", [["color", 5, "red"]]],
        [1, "vehicle.nobody.knows", []],
        [1, "sensor.camera.rgb", [["image_size_x", 2, "wide"]]],
    ):
        offender.send("spawn_actor", description, place)
        offender.reply()
    offender.close()
    sync.world.tick()
    for actor in sync.world.get_actors():
        assert all(isinstance(value, str) for value in actor.attributes.values())


def test_client_that_vanishes_while_its_tick_is_held(server: ServerProcess, sync: SyncWorld):
    car = sync.car()
    sensor = sync.spawn("sensor.other.gnss", carla.Transform(), car)
    leaver = RawRpc(server.port)
    stream, _ = token_of(leaver, sensor)
    frame = sync.world.tick()
    leaver.call("get_sensor_token", stream)
    leaver.send("tick_cue")
    leaver.close()
    assert sync.world.tick() in (frame + 1, frame + 2)


def test_tick_does_not_wait_for_ever_for_a_reader(server: ServerProcess, sync: SyncWorld):
    car = sync.car()
    sensor = sync.spawn("sensor.other.gnss", carla.Transform(), car)
    client = RawRpc(server.port)
    stream, _ = token_of(client, sensor)
    client.call("get_sensor_token", stream)
    frame = sync.world.get_snapshot().frame
    assert client.call("tick_cue") == [[1, frame + 1]]
    client.close()


def test_requests_behind_a_held_tick_are_answered_in_order(server: ServerProcess, sync: SyncWorld):
    car = sync.car()
    sensor = sync.spawn("sensor.other.gnss", carla.Transform(), car)
    client = RawRpc(server.port)
    stream, port = token_of(client, sensor)
    with held_still(server):  # the tick is held for a moment only: the reader must be there in time
        client.send("get_sensor_token", stream)
        sent = [client.send("tick_cue"), client.send("version"), client.send("tick_cue")]
        reader = RawStream(port, stream)
    client.reply()
    replies = [client.reply() for _ in sent]
    assert [reply[1] for reply in replies] == sent
    first, second = replies[0][3][0][1], replies[2][3][0][1]
    assert second == first + 1
    assert struct.unpack_from("<Q", reader.frame(), 8)[0] == first
    reader.close()
    client.close()


def test_stream_reader_that_talks_or_asks_for_nothing(server: ServerProcess):
    port = server.port + 1
    talker = socket.create_connection((HOST, port))
    talker.sendall(b"\x01\0\0\0 and more")
    assert is_closed(talker)
    stranger = RawStream(port, 4_000_000)
    stranger.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        stranger.frame()
    stranger.close()
    talker.close()
    listener = RawStream(port, 1)
    assert len(listener.frame()) > 48
    listener.close()


def test_more_actors_than_there_is_room_for(server: ServerProcess, sync: SyncWorld):
    client = RawRpc(server.port)
    spawn = [[0, [[1, "controller.ai.walker", []], [[0.0] * 3, [0.0] * 3], [False], 0, "", []]]]
    responses = client.call("apply_batch", [spawn] * (limits.MAX_ACTORS + 1), False)
    errors = [response[0][1][0] for response in responses if response[0][0] == 0]
    assert errors
    assert f"there are {limits.MAX_ACTORS} actors already" in errors[-1]
    sync.world.tick()
    assert len(sync.world.get_actors()) == limits.MAX_ACTORS
    client.close()


def is_served(server: ServerProcess) -> bool:
    try:
        with RawRpc(server.port) as rpc:
            return rpc.call("version") == [[1, "0.9.16"]]
    except OSError:
        return False


def test_silent_crowds_on_both_ports_shut_nobody_out(server: ServerProcess):
    with RawRpc(server.port) as bystander:
        assert bystander.call("version") == [[1, "0.9.16"]]
        silent = [
            socket.create_connection((HOST, port))
            for port, count in (
                (server.port, limits.MAX_RPC_CONNECTIONS + 20),
                (server.port + 1, limits.MAX_STREAM_CONNECTIONS + 20),
            )
            for _ in range(count)
        ]
        half = [socket.create_connection((HOST, server.port)) for _ in range(20)]
        for one in half:
            one.sendall(b"\x94\x00\x01\xa7ver")
        assert wait_until(lambda: is_served(server))
        listener = RawStream(server.port + 1, 1)
        assert bystander.call("version") == [[1, "0.9.16"]]
        assert len(listener.frame()) > 48
        listener.close()
        for one in silent + half:
            one.close()


def test_more_clients_than_there_is_room_for(server: ServerProcess):
    crowd = [RawRpc(server.port) for _ in range(limits.MAX_RPC_CONNECTIONS)]
    served = 0
    for one in crowd:
        with contextlib.suppress(OSError):
            served += one.call("version") == [[1, "0.9.16"]]
    assert served >= limits.MAX_RPC_CONNECTIONS - 8  # other tests' clients may still be there
    with RawRpc(server.port) as late:
        assert is_closed(late.socket)
    for one in crowd:
        one.close()
    assert wait_until(lambda: is_served(server))
