"""Whether numba can keep the machine code that it makes on disk: beside the sources, or in the user's cache folder."""

import logging
from typing import Final

from numba import njit

log = logging.getLogger(__name__)


def _probe() -> None:
    pass


def _has_a_folder() -> bool:
    try:
        njit(cache=True)(_probe)
    except RuntimeError:  # no folder that can be written; numba would refuse to compile at all
        log.warning(
            "warning: no folder can be written that would keep the compiled code, so every start compiles it "
            "anew; set XDG_CACHE_HOME to a directory that can be written."
        )
        return False
    return True


CACHE: Final[bool] = _has_a_folder()  # numba's option `cache` of every function here
