"""The running simulation: its state, its clock, its sensor streams. This is what every RPC handler is given."""

import asyncio
import logging
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from minicarla import limits
from minicarla.maps import MapError, Town, TownLibrary, load_xodr
from minicarla.protocol.rpc import RpcConnection, RpcError
from minicarla.protocol.streams import Streams
from minicarla.sensors.factory import SensorFactory
from minicarla.world import tick
from minicarla.world.snapshot import SnapshotPacker
from minicarla.world.state import SimulationState

OPENDRIVE_MAP = "OpenDriveMap"  # the map that CARLA loads after generate_opendrive_world

T = TypeVar("T")
log = logging.getLogger(__name__)


class Simulation:
    """One simulation. Everything runs on one event loop, so nothing here needs a lock."""

    def __init__(self, town: Town, towns: TownLibrary, seed: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.streams = Streams()
        self.state = SimulationState(town, self.streams, seed, SensorFactory(town))
        self.traffic_managers: dict[int, list[str | int]] = {}  # host and port, by port
        self.opendrive_town: Town | None = None  # the last one that a client sent
        self._snapshots = SnapshotPacker()
        self.map_name = town.name  # as a client has asked for it: Town01_Opt is Town01
        self._towns = towns
        self._towns.add(town)
        self._reads_map = False
        self._timer: asyncio.Handle | None = None

    def set_clock(self) -> None:
        """Start the clock of an asynchronous simulation, stop it for a synchronous one."""
        if self.state.settings.synchronous:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None:
            self._timer = self.loop.call_soon(self._free_tick, self.loop.time())

    def _free_tick(self, due: float) -> None:
        try:
            tick.tick(self.state, self._snapshots)
        except Exception:
            log.exception("a tick has failed; the simulation goes on")
        finally:
            # Behind its time the simulation slows down: it neither hurries nor starves its clients.
            due = max(due + tick.DEFAULT_DELTA_S, self.loop.time() + 0.2 * tick.DEFAULT_DELTA_S)
            self._timer = self.loop.call_at(due, self._free_tick, due)

    def tick_when_settled(self, client: RpcConnection, result: Callable[[int], T]) -> "T | asyncio.Task[T]":
        """Tick a synchronous simulation and return `result(frame)`.

        It is a task, and the tick comes a little later, while a subscription is under way (`streams`) or while the
        client's Traffic Manager is at a delicate point (`reply_pacing`).
        """
        if not self.state.settings.synchronous:
            return result(self.state.frame)
        if self.streams.is_settled(self.loop.time()) and (
            client.reply_pacing is None or not client.reply_pacing.must_wait()
        ):
            return result(tick.tick(self.state, self._snapshots))
        return self.loop.create_task(self._tick_later(client, result))

    async def _tick_later(self, client: RpcConnection, result: Callable[[int], T]) -> T:
        await self.streams.settle()
        if client.reply_pacing is not None:
            await client.reply_pacing.settle()
        return result(tick.tick(self.state, self._snapshots))

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

    def _read_town(self, name: str) -> Town:
        town = self._towns.read(name)
        self.state.prepare(town)
        return town

    def _begin(self, town: Town, name: str, reset_settings: bool) -> None:
        self.state.load(town, reset_settings)
        self.map_name = name
        if self._timer is not None:
            self._timer.cancel()  # the new episode's first tick comes at once
            self._timer = None
        self.set_clock()

    async def take_opendrive(self, xodr: str) -> None:
        """Make a client's OpenDRIVE text the town `OPENDRIVE_MAP`. A thread does the work, one text at a time.

        Raises:
          RpcError: the text is too long or broken, or another one is being read.
        """
        if len(xodr.encode()) > limits.MAX_XODR_BYTES:
            raise RpcError(f"an OpenDRIVE text must not be longer than {limits.MAX_XODR_BYTES} bytes")
        self.opendrive_town = await self._in_thread(partial(self._read_opendrive, xodr))

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
