"""What every command does with errors: ours become one sentence, every other one keeps its traceback."""

import sys
from collections.abc import Callable

from avtd3_jax.console import reader_gone
from avtd3_jax.errors import Avtd3Error
from envloop.errors import EnvLoopError

OWN_ERRORS = (Avtd3Error, EnvLoopError)


def run_command(name: str, work: Callable[[], int], interrupted: str) -> int:
    """Exit code of `work`, or of what ended it; `interrupted` is what to say after Ctrl-C."""
    try:
        return work()
    except BrokenPipeError:
        return reader_gone()
    except OWN_ERRORS as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: {interrupted}", file=sys.stderr)
        return 130
