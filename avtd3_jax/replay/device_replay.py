"""A replay's frames held on the device as well, so that a batch's indices travel there and its pictures do not."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avtd3_jax.agent.placement import Placement
from avtd3_jax.errors import InputError
from avtd3_jax.replay.batch import Batch
from avtd3_jax.replay.memory import check_memory
from avtd3_jax.replay.replay import FrameReplay

_SMALL, _LARGE = 16, 1024  # frames a write: what a few steps leave, and what a long exploration or a restore does


class DeviceReplay:
    """The frames of all rings of `replay` in one device array, which follows them at every sample.

    The replay keeps its own frames: it draws the transitions, the same ones as without a copy, and it is what a
    checkpoint holds. One thread may sample while another adds to the replay.
    """

    def __init__(self, replay: FrameReplay, placement: Placement | None = None) -> None:
        """Takes the device's memory at once: that of JAX's default one, or of every one in `placement`.

        Each of several devices holds all frames, so that none asks another for its part of a batch.

        Raises:
          InputError: the observations have no image, or the frames do not fit the device's memory.
        """
        image = replay.obs_spec.image
        if image is None:
            raise InputError("replay.device_resident is for frames, and the observations have no image: set it False.")
        self._replay = replay
        self._rows = replay.capacity
        self._grid = image[1:]
        self.nbytes = self.bytes_of(replay)
        whole: Any = jax.local_devices()[0] if placement is None else placement.whole
        _check_device_memory(self.nbytes, [whole] if placement is None else placement.devices)
        self._frames = jnp.zeros((self._rows, self._grid[0] * self._grid[1]), jnp.uint8, device=whole)
        self._write = jax.jit(_write, donate_argnums=0)
        self._take = jax.jit(self._traced_take, out_shardings=None if placement is None else placement.split)
        first = 0
        for ring in replay.rings:
            ring.mirror_frames(_RingMirror(self, ring.capacity, first))
            first += ring.capacity

    @staticmethod
    def bytes_of(replay: FrameReplay) -> int:
        """Bytes that the copy takes on the device."""
        image = replay.obs_spec.image
        return 0 if image is None else replay.capacity * image[1] * image[2]

    def sample(self, batch_size: int) -> Batch:
        """`replay.sample`, its frames uint8 [B, S + 1, H, W] on the device, the rest on the host."""
        batch = self._replay.sample(batch_size)
        return batch._replace(frames=self._take(self._frames, batch.frames))

    def _traced_take(self, frames: jax.Array, rows: jax.Array) -> jax.Array:
        return frames[rows].reshape(*rows.shape, *self._grid)

    def write(self, rows: np.ndarray, frames: np.ndarray) -> None:
        """Puts `frames` [n, H, W] in `rows` [n]; n is made a whole number of chunks by rows past the end."""
        done = 0
        while done < len(rows):
            size = _LARGE if len(rows) - done > _LARGE // 2 else _SMALL
            part = slice(done, done + size)
            target = self._rows + np.arange(size, dtype=np.int32)  # past the end, where nothing is written
            chunk = np.zeros((size, self._frames.shape[1]), np.uint8)
            target[: len(rows[part])] = rows[part]
            chunk[: len(rows[part])] = frames[part].reshape(-1, chunk.shape[1])
            self._frames = self._write(self._frames, target, chunk)
            done += size


class _RingMirror:
    """What a ring knows of the device: where its frames begin there, and how far they have been written."""

    def __init__(self, frames: DeviceReplay, capacity: int, first_row: int) -> None:
        self._frames = frames
        self._capacity = capacity
        self._first_row = first_row
        self._written = 0

    def follow(self, frames: np.ndarray, head: int) -> None:
        begin = max(self._written, head - self._capacity)
        for start in range(begin, head, _LARGE):
            slots = np.arange(start, min(start + _LARGE, head)) % self._capacity
            self._frames.write(self.locate(slots), frames[slots])
        self._written = head

    def locate(self, slots: np.ndarray) -> np.ndarray:
        return (slots + self._first_row).astype(np.int32)

    def forget(self) -> None:
        self._written = 0


def _write(frames: jax.Array, rows: jax.Array, chunk: jax.Array) -> jax.Array:
    return frames.at[rows].set(chunk, mode="drop", unique_indices=True)


def _check_device_memory(needed: int, devices: Sequence[jax.Device]) -> None:
    if devices[0].platform == "cpu":
        check_memory(needed * len(devices))
        return
    for device in devices:
        stats = device.memory_stats() or {}
        if "bytes_limit" not in stats:
            return  # this device does not say; it will refuse the array itself
        free = stats["bytes_limit"] - stats.get("bytes_in_use", 0)
        if needed > free:
            raise InputError(
                f"The replay's frames need {needed / 1e9:.2f} GB on {device} and {free / 1e9:.2f} GB are free there: "
                "lower replay.capacity, raise XLA_PYTHON_CLIENT_MEM_FRACTION, or set replay.device_resident=False."
            )
