"""Reads a recording frame by frame. A file may come from anywhere: cut off, damaged, hostile."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from minicarla.limits import MAX_RECORDED_FRAME_BYTES
from minicarla.recorder import packets
from minicarla.recorder.packets import Cursor, DamagedError, Info, PacketId

_LONGEST_INFO = 2 + 2 + len(packets.MAGIC) + 8 + 2 + 0xFFFF
_PACKET_COST = 64  # bytes of memory that even an empty packet takes


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame: `offset` of its first packet in the file, time of its begin and duration (s), packets wanted."""

    offset: int
    number: int
    elapsed: float
    duration: float
    packets: list[tuple[int, bytes]]


def read_info(file: BinaryIO) -> Info:
    """The file's header; the file stands behind it then.

    Raises:
      DamagedError: it is no recording.
    """
    file.seek(0)
    cursor = Cursor(file.read(_LONGEST_INFO))
    try:
        (version,) = cursor.take(packets.COUNT)
        magic = cursor.text()
        (date,) = cursor.take(packets.DATE)
        town = cursor.text()
    except DamagedError:
        magic = ""
    if magic != packets.MAGIC:
        raise DamagedError("File is not a CARLA recorder")
    file.seek(cursor.at)
    return Info(version, date, town)


class Recording:
    """A recording that is open. `flaw` says why no more frames can be read than were, once that is known.

    Raises:
      DamagedError: it is no recording.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.flaw = ""
        self.info = read_info(file)
        self._begin = file.tell()
        self._size = os.fstat(file.fileno()).st_size

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def frames(self, wanted: Collection[int], offset: int | None = None) -> Iterator[Frame]:
        """Whole frames from that offset (or the first) on, with those of their packets whose ids are wanted."""
        at = self._begin if offset is None else offset
        last = 0.0
        while True:
            try:
                frame = self._frame(wanted, at)
                if frame is not None and not last <= frame.elapsed < float("inf"):
                    raise DamagedError("its time does not go on")
            except (DamagedError, OSError) as error:
                self.flaw = str(error)
                return
            if frame is None:
                return
            at, last = self._file.tell(), frame.elapsed
            yield frame

    def _frame(self, wanted: Collection[int], offset: int) -> Frame | None:
        """The frame at that offset, and the file stands behind it; None at the end of the file."""
        self._file.seek(offset)
        start: tuple[int, float, float] | None = None
        found: list[tuple[int, bytes]] = []
        room = MAX_RECORDED_FRAME_BYTES
        while True:
            header = self._file.read(packets.HEADER.size)
            if not header and start is None:
                return None
            if len(header) < packets.HEADER.size:
                raise DamagedError("it is cut off")
            packet_id, size = packets.HEADER.unpack(header)
            if start is None:
                if packet_id != PacketId.FRAME_START:
                    raise DamagedError("a packet lies outside of all frames")
                start = Cursor(self._read(size, room)).take(packets.FRAME)
            elif packet_id == PacketId.FRAME_START:
                raise DamagedError("another one begins within it")
            elif packet_id == PacketId.FRAME_END:
                self._skip(size)
                number, duration, elapsed = start
                return Frame(offset, number, elapsed, duration, found)
            elif packet_id in wanted:
                room -= _PACKET_COST
                found.append((packet_id, self._read(size, room)))
                room -= size
            else:
                self._skip(size)

    def _read(self, size: int, room: int) -> bytes:
        if size > room:
            raise DamagedError(f"it has more than {MAX_RECORDED_FRAME_BYTES} bytes")
        # `read` takes as much memory as is asked for, before it knows how much there is.
        data = self._file.read(size) if self._file.tell() + size <= self._size else b""
        if len(data) < size:
            raise DamagedError("it is cut off")
        return data

    def _skip(self, size: int) -> None:
        if size:
            end = self._file.seek(size, os.SEEK_CUR)
            if end > self._size:
                raise DamagedError("it is cut off")


def rest(recording: Recording, number: int) -> str:
    """A line about what cannot be read of a damaged recording whose last whole frame has that number, else nothing."""
    return f"What follows number {number} cannot be read: {recording.flaw}\n" if recording.flaw else ""
