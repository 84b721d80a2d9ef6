"""Faults of a server, each by its name, and the process that relays with one of them at a time.

python faults_on_the_wire.py PORT: a line on standard input is the name of the fault from now on, "" for none.
"""

import asyncio
import random
import struct
import sys
from collections.abc import Callable

from faulty_wire import TRUE, VOID, Fault, Relay

from minicarla.protocol.wire import SensorType

HEADER = struct.Struct("<QQd6f")  # of every sensor's frame: kind, frame, seconds, pose
IMAGE_BYTES = HEADER.size + 12  # with width, height, field of view
VEHICLE_CONTROL, WALKER_STATE = 2, 7  # indices of carla.command's variants


def with_seconds_that_jump(frame: bytes) -> bytes:
    kind, number, seconds, *pose = HEADER.unpack_from(frame)
    return HEADER.pack(kind, number, seconds + 0.01 * (number % 2), *pose) + frame[HEADER.size :]


def every(count: int, change: Callable[[bytes], bytes | None]) -> Callable[[bytes], bytes | None]:
    """`change` for each frame number that `count` divides."""
    return lambda frame: change(frame) if HEADER.unpack_from(frame)[1] % count == 0 else frame


def renumbered(frame: bytes) -> bytes:
    kind, number, *rest = HEADER.unpack_from(frame)
    return HEADER.pack(kind, number - 1, *rest) + frame[HEADER.size :]


def black(frame: bytes) -> bytes:
    return frame[:IMAGE_BYTES] + bytes(len(frame) - IMAGE_BYTES)


def of_earlier(ticks: int) -> Callable[[bytes], bytes]:
    """The pixels of so many frames before, or those of the first one."""
    kept: list[bytes] = []

    def change(frame: bytes) -> bytes:
        kept.append(frame[IMAGE_BYTES:])
        return frame[:IMAGE_BYTES] + kept[max(0, len(kept) - 1 - ticks)]

    return change


def moved_points(result: list) -> list:
    ((found, (name, points)),) = result
    for location, _rotation in points:
        location[0] += 3.0
        location[1] += 3.0
    return [[found, [name, points]]]


def without_markings(result: list) -> list:
    ((found, xodr),) = result
    return [[found, xodr.replace('type="broken"', 'type="none"').replace('type="solid"', 'type="none"')]]


def without(kind: int) -> Callable[[list], list]:
    """A batch without its commands of that kind."""
    return lambda arguments: [[c for c in arguments[0] if c[0][0] != kind], *arguments[1:]]


def at_random(arguments: list) -> list:
    """A batch in which the cars' throttle is what chance makes it."""
    for ((kind, payload),) in arguments[0]:
        if kind == VEHICLE_CONTROL:
            payload[1][0] *= random.random()
    return arguments


def control(steer: float = 1.0, throttle: float = 1.0, noise: float = 0.0) -> Callable[[list], list]:
    def change(arguments: list) -> list:
        actor, (first, second, *rest) = arguments
        return [actor, [throttle * first, steer * second + random.uniform(-noise, noise), *rest]]

    return change


def one_metre_off(arguments: list) -> list:
    actor, ((x, y, z), rotation) = arguments
    return [actor, [[x + 1.0, y, z], rotation]]


def always_noon() -> Fault:
    seen: list[list] = []

    def change(arguments: list) -> list:
        seen.append(arguments)
        return seen[0]

    return Fault(calls={"set_weather_parameters": change})


def unseen_weather() -> Fault:
    """The server says that it has the weather, and does not show it."""
    asked: list[list] = []

    def change(arguments: list) -> list:
        asked.append(arguments)
        return asked[0]

    return Fault(
        calls={"set_weather_parameters": change},
        answers={"get_weather_parameters": lambda result: [[1, asked[-1][0]]] if asked else result},
    )


RGB, COLLISION, GNSS, SNAPSHOT = SensorType.RGB, SensorType.COLLISION, SensorType.GNSS, SensorType.SNAPSHOT
FAULTS: dict[str, Callable[[], Fault]] = {
    "another version": lambda: Fault(answers={"version": lambda result: [[1, "0.9.15"]]}),
    "steps of other lengths": lambda: Fault(frames={SNAPSHOT: with_seconds_that_jump}),
    "late ticks": lambda: Fault(delays={"tick_cue": 0.06}),
    "another map": lambda: Fault(answers={"get_map_info": moved_points}),
    "lights never reset": lambda: Fault(calls={"reset_all_traffic_lights": lambda arguments: VOID}),
    "nothing destroyed": lambda: Fault(calls={"destroy_actor": lambda arguments: TRUE}),
    "put elsewhere": lambda: Fault(calls={"set_actor_transform": one_metre_off}),
    "mirrored steering": lambda: Fault(calls={"apply_control_to_vehicle": control(steer=-1.0)}),
    "no throttle": lambda: Fault(calls={"apply_control_to_vehicle": control(throttle=0.0)}),
    "lost pictures": lambda: Fault(frames={RGB: every(5, lambda frame: None)}),
    "another tick's number": lambda: Fault(frames={RGB: every(5, renumbered)}),
    "slow pictures": lambda: Fault(frame_delays={RGB: 0.12}),
    "black pictures": lambda: Fault(frames={RGB: black}),
    "a frozen picture": lambda: Fault(frames={RGB: of_earlier(10**6)}),
    "a picture late": lambda: Fault(frames={RGB: of_earlier(1)}),
    "weather not kept": always_noon,
    "weather not seen": unseen_weather,
    "late positions": lambda: Fault(frame_delays={GNSS: 0.03}),
    "late collisions": lambda: Fault(frame_delays={COLLISION: 0.03}),
    "no collisions": lambda: Fault(frames={COLLISION: lambda frame: None}),
    "no markings": lambda: Fault(answers={"get_map_data": without_markings}),
    "traffic by chance": lambda: Fault(calls={"apply_batch": at_random}),
    "traffic that stands": lambda: Fault(calls={"apply_batch": without(VEHICLE_CONTROL)}),
    "walkers that stand": lambda: Fault(calls={"apply_batch": without(WALKER_STATE)}),
    "steering with noise": lambda: Fault(calls={"apply_control_to_vehicle": control(noise=0.1)}),
    "a slow server": lambda: Fault(delays={"tick_cue": 0.06}),
    "no new map": lambda: Fault(calls={"load_new_episode": lambda arguments: VOID}),
}


async def main(port: int) -> None:
    async with Relay(port) as relay:
        print("ready", flush=True)
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            name = line.decode().strip()
            relay.fault = FAULTS[name]() if name else Fault()
            print("set", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
