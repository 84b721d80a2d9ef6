"""Where in a recording its frames and its events are, so that the replayer finds them by time."""

from array import array
from bisect import bisect_right
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from minicarla.limits import MAX_RECORDED_FRAMES
from minicarla.recorder.packets import COUNT, PacketId
from minicarla.recorder.reader import Frame, Recording

EVENTS = (PacketId.EVENT_ADD, PacketId.EVENT_DEL, PacketId.EVENT_PARENT)


@dataclass(slots=True)
class Timeline:
    """Of every whole frame its time (s, rising) and its place in the file; which frames have events."""

    elapsed: "array[float]" = field(default_factory=lambda: array("d"))
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    eventful: "array[int]" = field(default_factory=lambda: array("l"))

    @property
    def total(self) -> float:
        """Length of the recording, s."""
        return self.elapsed[-1] if self.elapsed else 0.0

    def read(self, recording: Recording) -> Generator[None, None, None]:
        """Fill it, step by step; a long recording takes seconds."""
        for frame in recording.frames(EVENTS):
            if len(self.elapsed) == MAX_RECORDED_FRAMES:
                recording.flaw = f"it has more than {MAX_RECORDED_FRAMES} frames"
                return
            if any(len(body) > COUNT.size for _, body in frame.packets):
                self.eventful.append(len(self.elapsed))
            self.elapsed.append(frame.elapsed)
            self.offsets.append(frame.offset)
            yield

    def at(self, seconds: float) -> int:
        """The number, from 0, of the last frame that has begun by then; -1 before the first."""
        return bisect_right(self.elapsed, seconds) - 1

    def share(self, index: int, seconds: float) -> float:
        """How much of that frame has passed, in [0, 1)."""
        if index + 1 >= len(self.elapsed):
            return 0.0
        begin, end = self.elapsed[index], self.elapsed[index + 1]
        return min(max((seconds - begin) / (end - begin), 0.0), 1.0) if end > begin else 0.0

    def events_between(self, after: int, last: int) -> Iterator[int]:
        """The frames with events behind that one, up to and with the last."""
        begin, end = bisect_right(self.eventful, after), bisect_right(self.eventful, last)
        yield from self.eventful[begin:end]

    def frame(self, recording: Recording, index: int, wanted: tuple[int, ...]) -> Frame | None:
        """That frame's packets; None if the file is not what it was any more."""
        return next(recording.frames(wanted, self.offsets[index]), None)
