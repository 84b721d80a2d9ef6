"""Makes inputs out of recorded requests: nearly right ones, wrong ones, and bytes that are no requests at all."""

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from minicarla.handlers.batch import METHOD_OF_COMMAND
from minicarla.handlers.registry import METHODS
from minicarla.protocol.framing import decode

_METHODS = sorted(METHODS)
# Too slow to be called by the ten thousand: a whole town, or a process, for each.
_RARE = {"load_new_episode", "copy_opendrive_to_file"}
_NUMBERS = (
    0, 1, 2, 3, 7, -1, 255, 256, 65535, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1, -(2**31), -(2**63), 0.0, -0.0, 0.05,
    0.5, 1e-9, 1e-30, -1.5, 90.0, 180.0, 361.0, 1e3, 1e6, -1e6, 1e9, -1e9, 1e10, 1e38, 1e39, 1e300, float("inf"),
    float("-inf"), float("nan"), 5e-324, True, False, None,
)  # fmt: skip
_TEXTS = (
    "", "Town01", "Grid01", "vehicle.tesla.model3", "walker.pedestrian.0001", "sensor.camera.rgb", "sensor.other.imu",
    "static.prop.box01", "image_size_x", "nan", "inf", "-1", "1e400", "0", "99999999999", "x" * 300, "\0", "\n", "%s%n",
    "é" * 40, "../../etc/passwd", "<?xml version='1.0'?><OpenDRIVE/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><OpenDRIVE/>",
)  # fmt: skip
_LETTERS = " ,01Aa\u00e9\u4e2d\U0001f600"


@dataclass(frozen=True, slots=True)
class Input:
    """Bytes for the RPC port ("rpc"), or for a new connection to the stream port ("stream")."""

    channel: str
    data: bytes


class Mutator:
    """Inputs without end, the same for the same seed and the same world.

    Args:
      requests: recorded ones.
      seed: of the random numbers.
      actors: the ids that exist now, so that calls find somebody.
      streams: the same of the streams.
    """

    def __init__(
        self,
        requests: Sequence[bytes],
        seed: int,
        actors: Callable[[], Sequence[int]],
        streams: Callable[[], Sequence[int]],
    ) -> None:
        self._rng = random.Random(seed)
        self._raw = list(requests)
        self._calls = [(name, arguments) for _, _, name, (_, *arguments) in map(decode, requests)]
        self._calls = [call for call in self._calls if call[0] not in _RARE]
        self._spawns = [call for call in self._calls if call[0].startswith("spawn_actor")]
        self._actors, self._streams = actors, streams
        self._count = 0

    def next(self) -> Input:
        """One input."""
        rng = self._rng
        self._count = (self._count + 1) & 0xFFFFFFFF
        kind = rng.random()
        if kind < 0.05:
            return Input("stream", self._subscription())
        if kind < 0.12:
            return Input("rpc", self._flawed_bytes())
        if kind < 0.22:
            return Input("rpc", self._request("tick_cue", []))
        if kind < 0.32:
            return Input("rpc", self._request("apply_batch", [self._commands(), rng.random() < 0.3]))
        if kind < 0.37:
            return Input("rpc", self._spawn())
        if kind < 0.45:
            name = rng.choice(_METHODS)
            if name in _RARE and rng.random() < 0.999:
                name = "version"
            return Input("rpc", self._request(name, [self._anything(2) for _ in range(rng.randrange(6))]))
        name, arguments = rng.choice(self._calls)
        if name == "destroy_actor" and rng.random() < 0.8:
            name = "get_actor_bounding_box"
        if rng.random() < 0.7:
            arguments = self._with_living_actors(arguments)
        if kind < 0.8:
            arguments = self._mutated(arguments, 0.15)
        return Input("rpc", self._request(name, arguments))

    def _spawn(self) -> bytes:
        """An actor of any kind somewhere in the town, nearly always a possible one."""
        rng = self._rng
        name, (description, _, *rest) = rng.choice(self._spawns)
        place = [
            [rng.uniform(-10.0, 400.0), rng.uniform(-10.0, 330.0), rng.uniform(0.0, 2.0)],
            [0.0, self._number(), 0.0],
        ]
        if rest:
            rest = [rng.choice(self._actors()[-12:] or [0]), *rest[1:]]
            place = [[rng.uniform(-3.0, 3.0), 0.0, 2.0], [rng.uniform(-90.0, 90.0), 0.0, 0.0]]
        return self._request(name, self._mutated([description, place, *rest], 0.01))

    def _request(self, name: str, arguments: list[Any]) -> bytes:
        return msgpack.packb([0, self._count, name, [[self._rng.random() < 0.2], *arguments]])

    def _with_living_actors(self, arguments: list[Any]) -> list[Any]:
        """Small integers where ids stand become ids of actors that exist."""
        living = self._actors()
        return [
            self._rng.choice(living) if living and isinstance(a, int) and not isinstance(a, bool) else a
            for a in arguments
        ]

    def _mutated(self, value: Any, chance: float) -> Any:
        rng = self._rng
        if isinstance(value, list):
            changed = [self._mutated(item, chance) for item in value]
            if rng.random() < chance / 4 and changed:
                del changed[rng.randrange(len(changed))]
            if rng.random() < chance / 4:
                changed.insert(rng.randrange(len(changed) + 1), self._anything(1))
            return changed
        if rng.random() >= chance:
            return value
        if isinstance(value, float | int) and rng.random() < 0.7:
            return self._number()
        if isinstance(value, str) and rng.random() < 0.7:
            return self._text()
        return self._anything(2)

    def _number(self) -> Any:
        rng = self._rng
        pick = rng.random()
        if pick < 0.6:
            return rng.choice(_NUMBERS)
        if pick < 0.8:
            return rng.uniform(-400.0, 400.0)
        return rng.randrange(400)

    def _text(self) -> str:
        rng = self._rng
        if rng.random() < 0.7:
            return rng.choice(_TEXTS)
        return "".join(
            chr(rng.choice((32, 44, 48, 49, 65, 97, 233, 0x4E2D, 0x1F600))) for _ in range(rng.randrange(20))
        )

    def _anything(self, depth: int) -> Any:
        rng = self._rng
        pick = rng.random()
        if pick < 0.4:
            return self._number()
        if pick < 0.55:
            return self._text()
        if pick < 0.6:
            return rng.randbytes(rng.randrange(30))
        if pick < 0.65:
            return {self._text(): self._number() for _ in range(rng.randrange(3))}
        if pick < 0.75 and self._actors():
            return rng.choice(self._actors())
        if depth == 0:
            return rng.choice((None, [], [[]], True))
        return [self._anything(depth - 1) for _ in range(rng.choice((0, 1, 2, 3, 3, 3, 7, 17)))]

    def _commands(self) -> list[Any]:
        rng = self._rng
        batches = [arguments for name, arguments in self._calls if name == "apply_batch"]
        commands = []
        for _ in range(rng.choice((0, 1, 1, 2, 3, 10))):
            if rng.random() < 0.7:
                command = rng.choice(rng.choice(batches)[0])
                index, fields = command[0]
                if rng.random() < 0.6:
                    fields = self._with_living_actors(fields)
                command = [[index, fields]]
            else:
                fields = [self._anything(2) for _ in range(rng.randrange(1, 7))]
                command = [[rng.choice((*METHOD_OF_COMMAND, 0, 22, -1)), fields]]
            commands.append(self._mutated(command, rng.choice((0.0, 0.0, 0.1, 0.3))))
        if rng.random() < 0.02:
            commands = commands * 50
        return commands

    def _flawed_bytes(self) -> bytes:
        rng = self._rng
        data = bytearray(rng.choice(self._raw))
        for _ in range(rng.randrange(1, 4)):
            pick, place = rng.random(), rng.randrange(len(data) + 1)
            if pick < 0.4 and place < len(data):
                data[place] ^= 1 << rng.randrange(8)
            elif pick < 0.6:
                del data[place : place + rng.randrange(8)]
            elif pick < 0.8:
                data[place:place] = rng.randbytes(rng.randrange(1, 9))
            elif pick < 0.9:
                data += rng.choice(self._raw)[: rng.randrange(200)]
            else:
                del data[place:]
        return bytes(data) or b"\xc1"

    def _subscription(self) -> bytes:
        rng = self._rng
        stream = rng.choice((1, *self._streams(), *self._streams(), rng.randrange(2**32)))
        data = struct.pack("<I", stream)
        pick = rng.random()
        if pick < 0.1:
            return data[: rng.randrange(4)]
        return data + rng.randbytes(rng.randrange(20)) if pick < 0.2 else data
