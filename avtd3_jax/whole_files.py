"""Files that a reader finds whole or not at all."""

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Writes `path` in one step, and its folder where there is none; what cannot be written whole leaves no part.

    It is not on the disk before the system gets to it: a checkpoint asks for more.

    Raises:
      OSError: it cannot be written; an older file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # another process may write the same file
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)  # what was written of it may be what fills the disk
