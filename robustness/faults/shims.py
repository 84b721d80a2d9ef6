"""Two small libraries in C that are put before libc's: a wall clock that jumps, and ports that are taken."""

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Self

HERE = Path(__file__).parent


class Skipped(RuntimeError):  # noqa: N818 (nothing went wrong)
    """A fault cannot be injected on this machine; the text says why."""


class Shim:
    """`NAME.c` beside this file, compiled into `folder`, and the numbers (int64) that it shares with whoever steers it.

    `environment` is what a process must be started with. Raises Skipped where there is no C compiler.
    """

    def __init__(self, name: str, folder: Path, numbers: int = 2) -> None:
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            raise Skipped("no C compiler: put cc on the PATH, or name one in CC")
        library, shared = folder / f"{name}.so", folder / f"{name}.shared"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / f"{name}.c"), "-ldl"],
            check=True,
            capture_output=True,
        )
        shared.write_bytes(bytes(8 * numbers))
        self.environment = {f"FAULTS_{name.upper()}": str(shared), "LD_PRELOAD": str(library)}
        with shared.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 8 * numbers)

    def __getitem__(self, index: int) -> int:
        return struct.unpack_from("q", self._shared, 8 * index)[0]

    def __setitem__(self, index: int, value: int) -> None:
        struct.pack_into("q", self._shared, 8 * index, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shared.close()


def preloaded(*shims: Shim) -> dict[str, str]:
    """The environment of a process with all of `shims`."""
    merged = {name: value for shim in shims for name, value in shim.environment.items()}
    return merged | ({"LD_PRELOAD": ":".join(shim.environment["LD_PRELOAD"] for shim in shims)} if shims else {})
