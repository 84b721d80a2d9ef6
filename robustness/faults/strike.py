"""One fault into one running training, and what became of it."""

import random
import time

from robustness.faults.injections import Fault
from robustness.faults.stage import Stage

_RECOVERY_LIMIT_S = 600.0  # on a machine that others keep busy
_MISSED_S, _MISSED_STEPS = 10.0, 60  # a fault that has met something shows before
_HEARD_S = 0.2  # until the progress bar shows the last step from before
_STEPS_AFTER = 25  # that must follow for a fault to count as survived


def strike(stage: Stage, fault: Fault, rng: random.Random) -> float:
    """Injects `fault` and waits until the training goes on; the seconds that it took to recover.

    That is from the injection to the next step, or, with several environments, until the one is back; where the
    simulator was not lost, the longest standstill. Raises TrainingEnded when the training does not go on.
    """
    training, before = stage.training, len(stage.training.torn)
    began = time.monotonic()
    fault.inject(stage, rng)
    while fault.tears and not _torn(stage, fault, before, began):
        began = time.monotonic()
        fault.inject(stage, rng)
    back_s = training.torn[before].said_at - began if fault.tears else 0.0
    if fault.tears and stage.environments == 1:  # traffic may take longer than the simulator, and nobody else drives
        time.sleep(_HEARD_S)
        training.reach(training.step + 1, _RECOVERY_LIMIT_S)
        back_s = time.monotonic() - began
    training.reach(training.step + _STEPS_AFTER, _RECOVERY_LIMIT_S)
    if fault.tears:
        return back_s
    return training.standstill_s(began)


def _torn(stage: Stage, fault: Fault, before: int, began: float) -> bool:
    """Whether the training tells of a torn episode more than `before`; False when the fault has met nothing."""
    training, limit = stage.training, stage.training.step + _MISSED_STEPS

    def decided() -> bool:
        went_on = time.monotonic() > began + _MISSED_S or (stage.environments == 1 and training.step > limit)
        return len(training.torn) > before or (fault.may_miss and went_on)

    training.until(decided, _RECOVERY_LIMIT_S, f"word of a torn episode ({fault.name})")
    return len(training.torn) > before
