"""A host's run in a process of its own, so that a sentence can be said when JAX ends that.

JAX aborts the process when its coordination service, which the first host serves, is gone, or tells that a host is; no
Python code is asked (`missed_heartbeat_callback` of jaxlib's client cannot be a Python function: it throws bad_cast).
"""

import ctypes
import os
import signal
import sys
from types import FrameType

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_FORWARDED = (signal.SIGINT, signal.SIGTERM)


def watched(name: str) -> int | None:
    """Forks. In the child None: go on there. In the parent the exit code, once the child has ended.

    The parent hands SIGINT and SIGTERM on, and what kills it kills the child. Call it before there is any thread;
    `name` of the command stands before the sentence.
    """
    parent = os.getpid()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # what is in it would be written twice
            stream.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)  # until there is who hands them on
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        os.setpgid(0, 0)  # Ctrl-C is the parent's, which hands it on: once
        if os.getppid() != parent:  # it was gone before we could ask
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        return None

    def hand_on(number: int, frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in _FORWARDED:
        signal.signal(number, hand_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGABRT:
        print(
            f"{name}: JAX ended this host, as it does where another one is lost or never came (its own message is "
            "above): resume all with --resume.",
            file=sys.stderr,
        )
        return 1
    return code if code >= 0 else 128 - code
