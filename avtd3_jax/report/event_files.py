"""The scalars that a run left for TensorBoard, read without TensorBoard.

A file is a sequence of records: length (uint64), its checksum (4 bytes), an `Event`, its checksum (4 bytes); see
https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/tensorflow_stub/pywrap_tensorflow.py
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboardX.proto.event_pb2 import Event, SessionLog

_HEAD, _TAIL = 12, 4


@dataclass
class Curve:
    """One scalar: environment steps, hours that the run had taken, and values; in order."""

    steps: list[int] = field(default_factory=list)
    hours: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def cut(self, step: int) -> None:
        """Drops what lies at or after `step`."""
        keep = next((i for i, own in enumerate(self.steps) if own >= step), len(self.steps))
        del self.steps[keep:], self.hours[keep:], self.values[keep:]


def read_scalars(folder: Path) -> dict[str, Curve]:
    """Every scalar by its tag.

    What a resumed run has made anew is left out, and so is the time between a run's parts.
    """
    curves: dict[str, Curve] = {}
    before_s = 0.0  # that the run's earlier parts took
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: (_begun(path), path.name)):
        began = last = None
        for event in _events(path):
            if event.wall_time:  # the mark of a resumed run has none
                began = event.wall_time if began is None else began
                last = event.wall_time
            if event.session_log.status == SessionLog.START:
                for curve in curves.values():
                    curve.cut(event.step)
            hours = (before_s + event.wall_time - (began or 0.0)) / 3600.0
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    curve = curves.setdefault(value.tag, Curve())
                    curve.steps.append(event.step)
                    curve.hours.append(hours)
                    curve.values.append(value.simple_value)
        if began is not None and last is not None:
            before_s += last - began
    return curves


def _begun(path: Path) -> float:
    """When a file was begun, seconds: a copy of it has another time in its folder."""
    first = next(_events(path), None)
    return first.wall_time if first is not None else 0.0


def _events(path: Path) -> Iterator[Event]:
    """The whole events of a file; a killed run leaves half a one at the end."""
    data = path.read_bytes()
    at = 0
    while at + _HEAD <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        start, at = at + _HEAD, at + _HEAD + length + _TAIL
        if at > len(data):
            return
        event = Event()
        try:
            event.ParseFromString(data[start : start + length])
        except DecodeError:
            return
        yield event
