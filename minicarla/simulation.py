"""The running simulation: its state, its clock, its sensor streams. This is what every RPC handler is given."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from minicarla import heap, limits
from minicarla.clock import Clock
from minicarla.maps import MapError, Town, TownLibrary, load_xodr
from minicarla.navigation.files import NavigationFiles
from minicarla.protocol import wire
from minicarla.protocol.reply_pacing import GO_ON_S, ReplyPacing
from minicarla.protocol.rpc import RpcConnection, RpcError
from minicarla.protocol.streams import Streams
from minicarla.recorder.control import RecorderControl
from minicarla.recorder.files import RecordingFolder
from minicarla.sensors.factory import SensorFactory
from minicarla.world import tick
from minicarla.world.snapshot import SnapshotPacker
from minicarla.world.state import SimulationState

OPENDRIVE_MAP = "OpenDriveMap"  # the map that CARLA loads after generate_opendrive_world

NEW_READER_S = 0.5  # how long a new episode waits at most for the client that has loaded it

T = TypeVar("T")


class Simulation:
    """One simulation. Everything runs on one event loop, so nothing here needs a lock."""

    def __init__(
        self,
        town: Town,
        towns: TownLibrary,
        seed: int,
        loop: asyncio.AbstractEventLoop,
        recordings: RecordingFolder,
    ) -> None:
        self.loop = loop
        self.streams = Streams()
        self.state = SimulationState(town, self.streams, seed, SensorFactory(town))
        self.recorder = RecorderControl(self.state, recordings)
        self.traffic_managers: dict[int, list[str | int]] = {}  # host and port, by port
        self.navigation = NavigationFiles()
        self.opendrive_town: Town | None = None  # the last one that a client sent
        self._snapshots = SnapshotPacker()
        self.map_name = town.name  # as a client has asked for it: Town01_Opt is Town01
        self._towns = towns
        self._towns.add(town)
        self._reads_map = False
        self.has_clients = False
        self.clock = Clock(loop, self)
        tick.compile_loops(self.state, self._snapshots)

    @property
    def frame(self) -> int:
        """Part of `clock.Ticking`."""
        return self.state.frame

    def step(self, real_s: float) -> None:
        """Part of `clock.Ticking`."""
        tick.tick(self.state, self._snapshots, self.state.settings.fixed_delta or real_s)

    def hurries(self) -> bool:
        """Part of `clock.Ticking`. Without clients the world keeps to real time: nobody would see it run ahead."""
        return self.state.settings.fixed_delta is not None and self.has_clients

    def set_clock(self) -> None:
        """Start the clock of an asynchronous simulation, stop it for a synchronous one."""
        if self.state.settings.synchronous:
            self.clock.stop()
        elif not self.clock.runs:
            self.clock.start()

    def has_been_read(self) -> bool:
        """Part of `clock.Ticking`."""
        return self.streams.has_been_read(wire.SNAPSHOT_STREAM)

    def give_up(self) -> None:
        """Part of `clock.Ticking`."""
        self.streams.give_up(wire.SNAPSHOT_STREAM)

    def when_known(self, value: T) -> "T | asyncio.Future[T]":
        """The answer to a call that has changed what a snapshot shows.

        In an asynchronous simulation it is held until the clients know of the change. In a synchronous one it leaves at
        once, for the next snapshot comes when a client ticks.
        """
        return self.clock.when_known(value) if self.clock.runs else value

    async def beside_traffic(self, pacing: ReplyPacing, change: Callable[[], T | Awaitable[T]]) -> T:
        """What `change` gives, when the clients know of it; the Traffic Manager's worker stands still meanwhile."""
        await pacing.begin_change()
        try:
            known = change()
            return await known if isinstance(known, Awaitable) else known
        finally:
            pacing.end_change(GO_ON_S)

    def tick_when_settled(self, client: RpcConnection, result: Callable[[int], T]) -> "T | asyncio.Future[T]":
        """Tick a synchronous simulation, or wait for an asynchronous one's next tick, and return `result(frame)`.

        It is a future, and a synchronous tick comes a little later, while a subscription is under way (`streams`) or
        while the client's Traffic Manager is at a delicate point (`reply_pacing`).
        """
        if self.clock.runs:
            return self.clock.at_next_tick(result)
        if self.streams.is_settled(self.loop.time()) and (
            client.reply_pacing is None or not client.reply_pacing.must_wait()
        ):
            return result(self._tick())
        return self.loop.create_task(self._tick_later(client, result))

    def _tick(self) -> int:
        """One step of a synchronous simulation; its frame."""
        return tick.tick(self.state, self._snapshots, self.state.settings.fixed_delta or tick.DEFAULT_DELTA_S)

    async def _tick_later(self, client: RpcConnection, result: Callable[[int], T]) -> T:
        await self.streams.settle()
        if client.reply_pacing is not None:
            await client.reply_pacing.settle()
        return result(self._tick())

    def town_names(self) -> list[str]:
        """The towns that can be loaded."""
        return self._towns.names()

    def load(self, name: str, reset_settings: bool) -> "asyncio.Task[None] | None":
        """Begin a new episode on a town; the empty name is the current one.

        It is a task where the town has yet to be read: a thread does that, and other clients notice nothing.

        Raises:
          RpcError: there is no such town, or another one is being read.
        """
        name = name or self.map_name
        if name == OPENDRIVE_MAP and self.opendrive_town is not None:
            town: Town | None = self.opendrive_town
        elif name == self.map_name:
            town = self.state.town
        else:
            town = self._towns.known(name)
        if town is None:
            return self.loop.create_task(self._read_and_begin(name, reset_settings))
        self._begin(town, name, reset_settings)
        return None

    async def _read_and_begin(self, name: str, reset_settings: bool) -> None:
        self._begin(await self._in_thread(partial(self._read_town, name)), name, reset_settings)
        heap.settle()

    def _read_town(self, name: str) -> Town:
        town = self._towns.read(name)
        self.state.prepare(town)
        return town

    def _begin(self, town: Town, name: str, reset_settings: bool) -> None:
        self.recorder.end_episode()
        self.state.load(town, reset_settings)
        self.map_name = name
        if self.state.settings.synchronous:
            self.clock.stop()
        else:
            self.clock.start(NEW_READER_S)
            self.streams.at_next_reader(wire.SNAPSHOT_STREAM, self._go_on)

    def _go_on(self) -> None:
        """The client that has loaded a world reads it.

        Its old stream must not get a snapshot of the new episode: it would reset its Traffic Manager in the stream's
        thread while it takes down that stream in another, and crash.
        """
        if self.clock.runs:
            self.clock.start()

    async def take_opendrive(self, xodr: str) -> None:
        """Make a client's OpenDRIVE text the town `OPENDRIVE_MAP`. A thread does the work, one text at a time.

        Raises:
          RpcError: the text is too long or broken, or another one is being read.
        """
        if len(xodr.encode()) > limits.MAX_XODR_BYTES:
            raise RpcError(f"an OpenDRIVE text must not be longer than {limits.MAX_XODR_BYTES} bytes")
        self.opendrive_town = await self._in_thread(partial(self._read_opendrive, xodr))
        heap.settle()

    async def _in_thread(self, read: Callable[[], Town]) -> Town:
        """What `read` gives, in a thread of its own; one map at a time."""
        if self._reads_map:
            raise RpcError("another client's map is being read: try again in a moment")
        self._reads_map = True
        try:
            return await self.loop.run_in_executor(None, read)
        except MapError as error:
            raise RpcError(str(error)) from None
        finally:
            self._reads_map = False

    def _read_opendrive(self, xodr: str) -> Town:
        with tempfile.TemporaryDirectory(prefix="minicarla-") as folder:
            path = Path(folder) / f"{OPENDRIVE_MAP}.xodr"
            path.write_text(xodr, encoding="utf-8")
            try:
                town = load_xodr(path)
            except MapError as error:
                raise MapError(str(error).replace(str(path), "the OpenDRIVE text")) from None
        self.state.prepare(town)
        return town
