"""What a check is, and what it finds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envloop.doctor.subject import Subject

Value = float | int | str | bool | None


class Verdict(StrEnum):
    """OK: as the task needs it. WARN: the task runs, and something about it is worse. FAIL: the task is not right."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
      verdict: see the class.
      measured: for people, in a line.
      advice: what to do; "" where all is well.
      values: the same numbers for programs, by names that end in their unit.
    """

    verdict: Verdict
    measured: str
    advice: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One thing that the task relies on.

    Attributes:
      name: of the check, and of its row.
      asks: what has to hold, in a sentence without its full stop.
      run: measures it. The client's bare RuntimeError counts as a failure of the simulator.
    """

    name: str
    asks: str
    run: "Callable[[Subject], Finding]"


def judged(
    *, fails: bool, measured: str, advice: str, warns: bool = False, values: Mapping[str, Value] | None = None
) -> Finding:
    """A finding whose advice is left out where neither `fails` nor `warns`."""
    verdict = Verdict.FAIL if fails else Verdict.WARN if warns else Verdict.OK
    return Finding(verdict, measured, "" if verdict is Verdict.OK else advice, values or {})
