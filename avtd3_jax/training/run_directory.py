"""A run's directory: made for it, held by one process, and told of what ended the run."""

import fcntl
import itertools
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avtd3_jax.errors import RunDirectoryError

ERROR_FILE = "error.txt"


def new_directory(name: str, root: Path = Path("runs")) -> Path:
    """Makes a directory `root`/NAME-DATE-TIME of its own for each run that begins in one second.

    Raises:
      RunDirectoryError: it cannot be made.
    """
    begun = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in itertools.count(1):
        path = root / (begun if number == 1 else f"{begun}-{number}")
        try:
            with writing(path):
                path.mkdir(parents=True)
        except RunDirectoryError as error:
            if isinstance(error.__cause__, FileExistsError):
                continue
            raise
        return path
    raise AssertionError("unreachable")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the file system refuses at `path` into a RunDirectoryError that names it."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"{path} cannot be written ({error.strerror or error}): free the disk or give another directory."
        ) from error


def check_writable(directory: Path) -> None:
    """Makes `directory` where there is none. Raises RunDirectoryError where no file can be written in it."""
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()


@contextmanager
def held(workdir: Path, resume: bool) -> Iterator[None]:
    """Holds the run directory for this process alone.

    Raises:
      RunDirectoryError: it cannot be written, another process holds it, or it has a run and `resume` is false.
    """
    with writing(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunDirectoryError(
                f"{workdir} is in use by another training process: give another --workdir."
            ) from error
        if not resume and (workdir / "config.json").exists():
            raise RunDirectoryError(
                f"{workdir} holds a run already: add --resume to go on with it, or give another --workdir."
            )
        yield


@contextmanager
def tracebacks_kept(workdir: Path, own_errors: tuple[type[BaseException], ...]) -> Iterator[None]:
    """Leaves the traceback of an error that is none of `own_errors` in the run's directory as well."""
    try:
        yield
    except own_errors:
        raise
    except Exception:
        with suppress(OSError), (workdir / ERROR_FILE).open("a") as file:  # a full disk must not hide what happened
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{traceback.format_exc()}\n")
        raise
