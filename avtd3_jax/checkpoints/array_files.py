"""Files that can be trusted: whole or not there at all, and a changed byte is seen when they are read.

Arrays are stored as safetensors, which is data: nothing in it is executed.
"""

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

PART = ".part"  # what is being written is called by a name that ends so


class DamagedError(RuntimeError):
    """A file is missing, cut short or changed; the message names it."""


class Seal(TypedDict):
    """What a file is known by; JSON."""

    bytes: int
    crc32: int


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> Seal:
    """Writes named arrays to `path` in one step, durably. Raises OSError, and leaves what was there."""
    return _write(path, save(dict(arrays)))


def read_arrays(path: Path, seal: Seal | None) -> dict[str, np.ndarray]:
    """The arrays of a file that `write_arrays` sealed; None takes it as it is. Raises DamagedError."""
    data = _read(path) if seal is None else check(path, seal)
    try:
        return load(data)
    except SafetensorError as error:
        raise DamagedError(f"{path} is no safetensors file ({error})") from error


def sealed(path: Path) -> Seal:
    """The seal of a file that another library wrote, made durable. Raises OSError."""
    with path.open("rb") as file:
        data = file.read()
        os.fsync(file.fileno())
    return _seal(data)


def check(path: Path, seal: Seal) -> bytes:
    """What a sealed file holds. Raises DamagedError."""
    data = _read(path)
    if _seal(data) != seal:
        raise DamagedError(f"{path} has changed since it was written")
    return data


def write_sealed_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes `content` with its own checksum to `path` in one step, durably. Raises OSError."""
    _write(path, _sealed(content).encode())


def read_sealed_json(path: Path) -> dict[str, Any]:
    """What `write_sealed_json` was given. Raises DamagedError."""
    text = _read(path)
    try:
        content = json.loads(text)["content"]
        whole = _sealed(content).encode() == text
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        whole = False
    if not whole:
        raise DamagedError(f"{path} has changed since it was written")
    return content


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sealed(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return f'{{"crc32": {zlib.crc32(text.encode())}, "content": {text}}}\n'


def _write(path: Path, data: bytes) -> Seal:
    part = path.with_name(path.name + PART)
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)  # what was written of it may be what fills the disk
        raise
    return _seal(data)


def _seal(data: bytes) -> Seal:
    return Seal(bytes=len(data), crc32=zlib.crc32(data))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedError(f"{path} is missing") from error
    except OSError as error:
        raise DamagedError(f"{path} cannot be read ({error.strerror})") from error
