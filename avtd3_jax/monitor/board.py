"""What the live page knows of a run: bounded, whatever it is told and however long the run."""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

_POINTS, _TAGS = 400, 300  # of a curve; curves
_EVENTS, _FAILURES, _PLACES = 100, 24, 64
_TEXT = 2000  # characters of an event
# The curves that the page draws, by what their tags begin with.
_DRAWN = (
    *("episode/return", "episode/success", "episode/route_completion", "evaluation/return", "evaluation/success"),
    *("learner/q/mean", "learner/loss/", "learner/grad_norm/", "run/", "milliseconds/", "reward/"),
)


class Series:
    """A curve of at most 400 points: when it is full, neighbours become their mean."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.values: list[float] = []
        self._each = 1  # points told for one that is kept
        self._sum, self._count = 0.0, 0

    def add(self, step: int, value: float) -> None:
        """Takes the next point."""
        self._sum, self._count = self._sum + value, self._count + 1
        if self._count < self._each:
            return
        self.steps.append(step)
        self.values.append(float(f"{self._sum / self._count:.5g}"))
        self._sum, self._count = 0.0, 0
        if len(self.steps) >= _POINTS:
            self.steps = self.steps[1::2]
            pairs = zip(self.values[::2], self.values[1::2], strict=True)
            self.values = [float(f"{(one + other) / 2:.5g}") for one, other in pairs]
            self._each *= 2


class Board:
    """Takes the run's messages, and gives the page's data as JSON."""

    def __init__(self) -> None:
        self._about: Mapping[str, Any] = {}
        self._series: dict[str, Series] = {}
        self._step = 0
        self._gauges: Mapping[str, float] = {}
        self._pictures: dict[str, tuple[int, bytes, Mapping[str, Any]]] = {}
        self._events: deque[tuple[float, str]] = deque(maxlen=_EVENTS)
        self._failures: deque[tuple[int, bytes | None, Mapping[str, Any]]] = deque(maxlen=_FAILURES)
        self._number = 0  # of pictures and failures so far
        self._changes = 0  # of curves

    def take(self, kind: str, *content: Any) -> None:
        """A message of the run's, see `station.Station`."""
        if kind == "about":
            (self._about,) = content
        elif kind == "points":
            self._take_points(*content)
        elif kind == "event":
            when, sentence = content
            self._events.append((when, sentence[:_TEXT]))
        elif kind == "picture":
            place, picture, facts = content
            if place in self._pictures or len(self._pictures) < _PLACES:
                self._pictures[place] = (self._next(), picture, facts)
        elif kind == "failure":
            picture, facts = content
            self._failures.append((self._next(), picture, {"step": self._step, **facts}))

    def state(self) -> str:
        """What changes from second to second."""
        return json.dumps(
            {
                "about": self._about,
                "step": self._step,
                "gauges": self._gauges,
                "curves": self._changes,
                "places": [
                    {"name": name, "picture": number, **facts}
                    for name, (number, _, facts) in sorted(self._pictures.items(), key=lambda item: _order(item[0]))
                ],
                "events": [{"time": when, "text": text} for when, text in reversed(self._events)],
                "failures": [
                    {"id": number, "pictured": picture is not None, **facts}
                    for number, picture, facts in reversed(self._failures)
                ],
            }
        )

    def curves(self) -> str:
        """Steps and values of every curve that the page draws, by tag."""
        return json.dumps({tag: {"x": one.steps, "y": one.values} for tag, one in sorted(self._series.items())})

    def picture(self, place: str) -> bytes | None:
        """The newest one there."""
        found = self._pictures.get(place)
        return None if found is None else found[1]

    def failure_picture(self, number: int) -> bytes | None:
        """The last one of a failed episode."""
        return next((picture for own, picture, _ in self._failures if own == number), None)

    def _take_points(self, points: Sequence[tuple[str, float, int]], gauges: Mapping[str, float]) -> None:
        self._gauges = gauges
        for tag, value, step in points:
            self._step = max(self._step, step)
            if not tag.startswith(_DRAWN) or (tag not in self._series and len(self._series) >= _TAGS):
                continue
            self._series.setdefault(tag, Series()).add(step, value)
            self._changes += 1

    def _next(self) -> int:
        self._number += 1
        return self._number


def _order(place: str) -> tuple[bool, int, str]:
    return (not place.isdecimal(), int(place) if place.isdecimal() else 0, place)
