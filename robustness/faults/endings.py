"""Faults that end a training on Ray: it says why, is saved up to its last whole episode, and leaves no process."""

import os
import signal
from typing import ClassVar

from robustness.faults.training import Training


class Ending:
    """Something after which the training has to end.

    code: its exit code.
    words: that it says.
    """

    name: ClassVar[str]
    code: ClassVar[int]
    words: ClassVar[str]

    def bring(self, training: Training) -> None:
        """Does it."""
        raise NotImplementedError


class RayHeadKilled(Ending):
    """SIGKILL to the head of the cluster, which the run has started itself."""

    name = "Ray's head killed: saved, and ends with a sentence"
    code = 1
    words = "is gone: start it again, then go on with --resume."

    def bring(self, training: Training) -> None:
        (head,) = [process for process in training.family() if process.name() == "gcs_server"]
        head.kill()


class CtrlC(Ending):
    """SIGINT to all processes of the terminal, as Ctrl-C does."""

    name = "Ctrl-C on Ray: saved, and no process is left"
    code = 128 + signal.SIGINT
    words = "saved up to the last whole episode"

    def bring(self, training: Training) -> None:
        os.killpg(training.process.pid, signal.SIGINT)


ENDINGS: tuple[type[Ending], ...] = (RayHeadKilled, CtrlC)
