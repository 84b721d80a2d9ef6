"""python -m experiments.bound PARENT MODULE ARGUMENTS...: `python -m MODULE ARGUMENTS` for as long as PARENT lives.

Once that process is gone, whatever ended it, this one hears SIGINT, on which every command here saves what it can.
"""

import argparse
import ctypes
import os
import runpy
import signal
import sys

from reporting.publish import plain_parser

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def bound(module: str, arguments: list[str]) -> list[str]:
    """The command, for a child of this process."""
    return [sys.executable, "-m", "experiments.bound", str(os.getpid()), module, *arguments]


def main() -> None:
    """The command."""
    options = plain_parser(__doc__)
    options.add_argument("parent", type=int, help="process id")
    options.add_argument("module")
    options.add_argument("arguments", nargs=argparse.REMAINDER)
    args = options.parse_args()
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGINT)
    if os.getppid() != args.parent:  # it was gone before we could ask
        sys.exit(128 + signal.SIGINT)
    del sys.argv[1:3]
    runpy.run_module(args.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
