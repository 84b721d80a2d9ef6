"""Where recordings lie.

A name means a file in the server's folder of recordings; folders in it are made as they are needed. A name that leads
out of that folder ("/tmp/run.log", "../run.log") is one on this machine, as with CARLA, and is refused where other
machines can reach the server. Nothing that is no recording is ever replaced, and out there a name must end as those of
recordings do: so whoever reaches the port can neither destroy a file nor make one that a program takes for its own.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from minicarla.limits import MAX_PATH_LENGTH, MIN_FREE_DISK_BYTES
from minicarla.protocol import rpc_types
from minicarla.protocol.rpc import RpcError
from minicarla.recorder.packets import DamagedError
from minicarla.recorder.reader import Recording, read_info

ENDINGS = (".log", ".rec")


def default_folder() -> Path:
    """Of this user, where the XDG Base Directory Specification wants data."""
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".local" / "share") / "minicarla" / "recordings"


class RecordingFolder:
    """The recordings of one server.

    Args:
      folder: made with the first recording.
      is_shared: whether other machines can reach the server.
    """

    def __init__(self, folder: Path, is_shared: bool) -> None:
        self._folder = folder.resolve()
        self._is_shared = is_shared

    def path(self, name: object) -> Path:
        """The file of that name.

        Raises:
          ArgumentError, RpcError: there can be none, or this client may not use it.
        """
        text = rpc_types.text(name, "file name", MAX_PATH_LENGTH)
        try:
            path = (self._folder / text).resolve()
        except (OSError, RuntimeError, ValueError):
            raise RpcError(f"{rpc_types.shown(text)} cannot be the name of a file") from None
        if path == self._folder:
            raise RpcError("a recording needs a name")
        if self._is_outside(path):
            if self._is_shared:
                raise RpcError(f"other machines can reach this server: give a name within {self._folder}")
            if path.suffix not in ENDINGS:
                raise RpcError(f"the name of a recording outside of {self._folder} must end in {' or '.join(ENDINGS)}")
        return path

    def _is_outside(self, path: Path) -> bool:
        return not path.is_relative_to(self._folder)

    def create(self, path: Path) -> BinaryIO:
        """A new file there, in place of an old recording. Who still reads that one can go on.

        Raises:
          RpcError: it cannot be written, or what lies there is no recording.
        """
        try:
            if not self._is_outside(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            self._remove_recording(path)
            file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")
        except OSError as error:
            raise RpcError(f"cannot write {path}: {error.strerror}") from None
        if is_disk_full(file):
            file.close()
            path.unlink()
            raise RpcError(f"cannot write {path}: fewer than {MIN_FREE_DISK_BYTES >> 20} MB of the disk are free")
        return file

    def _remove_recording(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            with self.open(path) as old:
                read_info(old)
        except DamagedError:
            raise RpcError(f"{path} is no recording and is not overwritten: choose another name") from None
        path.unlink()

    def open(self, path: Path) -> BinaryIO:
        """The file there, to be read.

        Raises:
          OSError: there is none, or it is no file with a content.
        """
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait otherwise
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(0, "it is no file")
        return os.fdopen(handle, "rb")

    def recording(self, path: Path) -> Recording:
        """The recording there.

        Raises:
          OSError: there is none.
          DamagedError: it is none.
        """
        file = self.open(path)
        try:
            return Recording(file)
        except DamagedError:
            file.close()
            raise


def is_disk_full(file: BinaryIO) -> bool:
    """Whether a recording must leave the rest of the disk to others."""
    disk = os.fstatvfs(file.fileno())
    return disk.f_bavail * disk.f_frsize < MIN_FREE_DISK_BYTES
