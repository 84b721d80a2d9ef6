"""A replay on disk beside its run: slots in segments that are written once, so that a checkpoint adds what is new."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avtd3_jax.checkpoints.array_files import Seal, read_arrays, write_arrays
from avtd3_jax.replay.replay import FrameReplay

SLOTS = 1024  # of a segment: 7 MB of 84 x 84 frames
_WAITING = 8  # segments in memory on their way to the disk; as many slots may lie beyond the last one


@dataclass
class _Segment:
    """The slots [begin, end) of a ring, by absolute index; in memory, as `columns`, until it has a `seal`."""

    name: str
    begin: int
    end: int
    columns: dict[str, np.ndarray]
    seal: Seal | None = None


class _Span(NamedTuple):
    """The slots [oldest, head) of a ring: those before `tail` are in `segments`, the others in a snapshot's arrays."""

    oldest: int
    tail: int
    head: int
    segments: tuple[_Segment, ...]


class Snapshot(NamedTuple):
    """A replay at one moment; `arrays` has each ring's tail, as "0/frame" and so on."""

    state: dict[str, Any]
    spans: list[_Span]
    arrays: dict[str, np.ndarray]


class ReplayStore:
    """The segments of one replay in a directory.

    One thread takes snapshots, which copy no more than the slots that are new since the last one; another writes.
    """

    def __init__(self, directory: Path, slots: int = SLOTS) -> None:
        """Segments of `slots` slots each; `directory` is made when the first one is written."""
        self.directory = directory
        self._slots = slots
        self._segments: dict[int, list[_Segment]] = {}  # by ring, oldest first, those of which slots are still held
        self._waiting: deque[_Segment] = deque()
        self._gone = False  # what was written

    @property
    def waiting(self) -> int:
        """Segments that `write` will write."""
        return len(self._waiting)

    def take(self, replay: FrameReplay) -> Snapshot | None:
        """The replay as it is now; None while so much of it is new that segments have to be written first."""
        if self._gone:
            self._segments, self._gone = {}, False
        spans: list[_Span] = []
        arrays: dict[str, np.ndarray] = {}
        for number, ring in enumerate(replay.rings):
            oldest, head = ring.span
            segments = self._segments.get(number, [])
            tail = max(segments[-1].end if segments else 0, oldest)
            while head - 1 - tail >= self._slots and len(self._waiting) < _WAITING:  # the last slot may still change
                end = tail + self._slots
                segment = _Segment(f"ring{number}-{tail:012d}.safetensors", tail, end, ring.read_slots(tail, end))
                segments = [*segments, segment]
                self._waiting.append(segment)
                tail = end
            self._segments[number] = segments = [segment for segment in segments if segment.end > oldest]
            if head - tail > _WAITING * self._slots:
                return None
            arrays |= {f"{number}/{name}": column for name, column in ring.read_slots(tail, head).items()}
            spans.append(_Span(oldest, tail, head, tuple(segments)))
        return Snapshot(replay.get_state(), spans, arrays)

    def write(self) -> None:
        """Writes the segments that wait. Raises OSError; those not written go on waiting."""
        while self._waiting:
            self.directory.mkdir(parents=True, exist_ok=True)
            segment = self._waiting[0]
            segment.seal = write_arrays(self.directory / segment.name, segment.columns)
            segment.columns = {}
            self._waiting.popleft()

    def check(self, snapshot: Snapshot) -> None:
        """Raises OSError when a segment that was written is gone; from the next snapshot on, all are written anew."""
        for span in snapshot.spans:
            for segment in span.segments:
                if not (self.directory / segment.name).exists():
                    self._gone = True
                    raise OSError(f"{segment.name} is gone")

    def load(self, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray], replay: FrameReplay) -> None:
        """Fills `replay` with what `describe` told of; what is taken and written next follows on it.

        Raises:
          DamagedError: a segment is missing or has changed; `replay` must be loaded anew before it is used.
          InputError: `replay` is of another capacity, number of environments, observation or action.
        """
        replay.set_state(description["state"])
        self._segments, self._waiting = {}, deque()
        for number, (ring, span) in enumerate(zip(replay.rings, description["rings"], strict=True)):
            for segment in span["segments"]:
                columns = read_arrays(self.directory / segment["name"], segment["seal"])
                overwritten = max(span["oldest"] - segment["begin"], 0)
                ring.write_slots(
                    segment["begin"] + overwritten, {name: column[overwritten:] for name, column in columns.items()}
                )
            own = f"{number}/"
            tail = {name.removeprefix(own): array for name, array in arrays.items() if name.startswith(own)}
            ring.write_slots(span["tail"], tail)
            self._segments[number] = [_Segment(columns={}, **segment) for segment in span["segments"]]

    def prune(self, needed: set[str]) -> None:
        """Removes the segments whose slots are no longer held and whose names are not in `needed`."""
        kept = needed | {segment.name for segments in list(self._segments.values()) for segment in segments}
        for path in self.directory.glob("*"):
            if path.name not in kept:
                path.unlink(missing_ok=True)


def describe(snapshot: Snapshot) -> dict[str, Any]:
    """What `ReplayStore.load` needs beside the snapshot's arrays, JSON-able; once its segments are written."""
    return {
        "state": snapshot.state,
        "rings": [
            {
                "oldest": span.oldest,
                "tail": span.tail,
                "head": span.head,
                "segments": [
                    {"name": part.name, "begin": part.begin, "end": part.end, "seal": part.seal}
                    for part in span.segments
                ],
            }
            for span in snapshot.spans
        ],
    }


def segments_of(description: Mapping[str, Any]) -> set[str]:
    """Names of the segments that `describe`'s result refers to."""
    return {segment["name"] for span in description["rings"] for segment in span["segments"]}
