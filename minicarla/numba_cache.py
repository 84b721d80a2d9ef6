"""What numba keeps of the machine code that it makes: where, whether at all, and for how long.

It is kept on disk, beside the sources or in the user's cache folder.
"""

import contextlib
import fcntl
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from numba import njit

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parent
_STAMP = Path("__pycache__", "compiled-from.txt")  # of which sources the kept code is
_WHOLE = Path("__pycache__", "compiled.txt")  # the same, once a server has compiled everything that it needs
_LOCK = Path("__pycache__", "compiling.lock")


def forget_stale_code(package: Path = _PACKAGE) -> str:
    """Lets go of all machine code beside the sources of `package` if one of them has changed that is compiled.

    Returns a digest of those sources. Numba compares the file of a loop with that it was made of, and not the files of
    what the loop calls.
    """
    sources = sorted((path.relative_to(package).as_posix(), path.read_bytes()) for path in package.rglob("*.py"))
    digest = hashlib.sha256()
    for name, text in sources:
        if b"numba" in text:
            digest.update(name.encode() + b"\0" + text + b"\0")
    stamp = package / _STAMP
    with contextlib.suppress(OSError):  # a folder that cannot be written holds no code of ours
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return digest.hexdigest()
        for index in package.rglob("*.nbi"):
            index.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(digest.hexdigest())
    return digest.hexdigest()


@contextlib.contextmanager
def alone_while_compiling(package: Path = _PACKAGE) -> Iterator[None]:
    """Around what compiles all loops: of several first starts one does, and the others wait for what it keeps."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # without a folder that can be written each compiles for itself
            if not _is_whole(package):
                lock = stack.enter_context((package / _LOCK).open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
                if _is_whole(package):  # another has done it meanwhile
                    lock.close()
        yield
        with contextlib.suppress(OSError):
            (package / _WHOLE).write_text(_DIGEST)


def _is_whole(package: Path) -> bool:
    whole = package / _WHOLE
    return whole.exists() and whole.read_text() == _DIGEST


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


_DIGEST: Final = forget_stale_code()
CACHE: Final[bool] = _has_a_folder()  # numba's option `cache` of every function here
