"""Whether somebody watches what a command says."""

import sys


def is_watched() -> bool:
    """Whether standard error is a terminal. A process may have none at all: `2>&-`."""
    return sys.stderr is not None and sys.stderr.isatty()
