"""What clients ask of the recorder: at most one recording or one replay at a time, and texts about recordings."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

from minicarla.geometry.types import Pose
from minicarla.limits import MAX_REPORT_CHARACTERS, SLICE_S
from minicarla.protocol.rpc import RpcError
from minicarla.recorder import incident_text, info_text
from minicarla.recorder.files import RecordingFolder
from minicarla.recorder.packets import DamagedError
from minicarla.recorder.reader import Recording, rest
from minicarla.recorder.recorder import Recorder
from minicarla.recorder.replayer import Replayer, ReplaySettings, Span
from minicarla.recorder.timeline import Timeline
from minicarla.world.state import SimulationState

T = TypeVar("T")
Load = Callable[[str], Awaitable[None] | None]  # begins a new episode on the town of that name; RpcError if it cannot


class RecorderControl:
    """The recorder and the replayer of one simulation.

    Names of files are as clients give them (see `files`). CARLA answers in texts for people, errors included; what is
    said here about files that cannot be read is such a text, too.
    """

    def __init__(self, state: SimulationState, folder: RecordingFolder) -> None:
        self.settings = ReplaySettings()
        self._state, self._folder = state, folder
        self._recorder: Recorder | None = None
        self._replayer: Replayer | None = None
        self._reads = asyncio.Lock()  # one text at a time: it may be large

    def start(self, name: str, map_name: str, additional: bool) -> str:
        """Begin to record; the file's path. A recording or a replay under way ends.

        Raises:
          ArgumentError, RpcError: the file cannot be written.
        """
        self.stop_replay(keep_actors=False)
        self.stop()
        path = self._folder.path(name)
        self._recorder = Recorder(self._state, self._folder.create(path), path, map_name, additional)
        return str(path)

    def stop(self) -> None:
        """End the recording, if there is one."""
        if self._recorder is not None:
            self._recorder.stop()
            self._recorder = None

    def stop_replay(self, keep_actors: bool) -> None:
        """End the replay, if there is one."""
        if self._replayer is not None:
            self._replayer.stop(keep_actors)
            self._replayer = None

    def end_episode(self) -> None:
        """The actors are about to vanish: end what goes on with them."""
        self.stop()
        if self._replayer is not None:
            self._replayer.forget()
            self._replayer = None

    async def file_info(self, name: str, show_all: bool) -> str:
        """The text of `Client.show_recorder_file_info`.

        Raises:
          ArgumentError, RpcError: a name that cannot be, a text that would be too long.
        """
        return await self._about(
            name, lambda recording: info_text.file_info(recording, show_all, MAX_REPORT_CHARACTERS)
        )

    async def collisions(self, name: str, first: str, second: str) -> str:
        """The text of `Client.show_recorder_collisions`."""
        return await self._about(name, lambda recording: incident_text.collisions(recording, first, second))

    async def actors_blocked(self, name: str, min_time: float, min_distance: float) -> str:
        """The text of `Client.show_recorder_actors_blocked`; s and cm."""
        return await self._about(
            name, lambda recording: incident_text.actors_blocked(recording, min_time, min_distance)
        )

    async def _about(self, name: str, text: Callable[[Recording], Generator[None, None, str]]) -> str:
        path = self._folder.path(name)
        try:
            async with self._reads:
                recording = self._folder.recording(path)
                try:
                    return await _in_turns(text(recording))
                finally:
                    recording.close()
        except OSError:
            return f"File {path} not found on server\n"
        except DamagedError as error:
            return f"{error}\n"

    async def replay(
        self,
        name: str,
        start: float,
        duration: float,
        follow_id: int,
        sensors: bool,
        offset: Pose,
        map_name: Callable[[], str],
        load: Load,
    ) -> str:
        """Begin to replay, on the recording's map; CARLA's text about it. A recording or replay under way ends.

        Args:
          start: s from the recording's begin; from its end if negative.
          duration: s; 0 is all of it.
          follow_id: recorded id of the actor that the spectator follows at `offset`, or 0.
          sensors: whether recorded sensors are spawned, too.
          map_name: the name of the simulation's map as it is then.

        Raises:
          ArgumentError, RpcError: a name that cannot be.
        """
        path = self._folder.path(name)
        text = f"Replaying File: {path}\n"
        self.stop()
        self.stop_replay(keep_actors=False)
        try:
            recording = self._folder.recording(path)
        except OSError:
            return f"{text}File {path} not found on server\n"
        except DamagedError as error:
            return f"{text}{error}\n"
        try:
            timeline = Timeline()
            await _in_turns(timeline.read(recording))
            town = recording.info.town.rpartition("/")[2]
            if town != map_name():
                try:
                    loading = load(town)
                    if loading is not None:
                        await loading
                except RpcError:
                    recording.close()
                    return f"{text}Could not load mapfile {town}\n"
                text += f"Loading map {town}\nReplayer will start after map is loaded...\n"
            begin = max(start if start >= 0.0 else timeline.total + start, 0.0)
            end = begin + duration if duration > 0.0 else timeline.total
            flaw = rest(recording, len(timeline.elapsed))
            self.stop()  # another client may have been quicker
            self.stop_replay(keep_actors=False)
            span = Span(begin, end, follow_id, offset, sensors)
            self._replayer = Replayer(self._state, self.settings, recording, timeline, span)
            if self._replayer.flaw:
                flaw = f"It cannot be replayed: {self._replayer.flaw}\n"
        except BaseException:
            recording.close()
            raise
        text += f"Total time recorded: {timeline.total:g}\n"
        text += f"Replaying from {begin:g} s - {end:g} s ({timeline.total:g} s) at {self.settings.time_factor:.1f}x\n"
        text += "Ignoring Hero vehicle\n" if self.settings.ignore_hero else ""
        return text + ("Ignoring Spectator camera\n" if self.settings.ignore_spectator else "") + flaw


async def _in_turns(steps: Generator[None, None, T]) -> T:
    """What the steps return. They run in slices of time, between which it is other clients' turn."""
    while True:
        end = time.monotonic() + SLICE_S
        try:
            while time.monotonic() < end:
                next(steps)
        except StopIteration as done:
            return done.value
        await asyncio.sleep(0)
