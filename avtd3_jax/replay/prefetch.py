"""Batches on the device ahead of their use."""

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import jax

from avtd3_jax.errors import InputError
from avtd3_jax.replay.batch import Batch


class Prefetcher:
    """Samples and moves batches to the device, `depth` of them ahead on a thread of its own.

    With depth 0 there is no thread: `get` samples then and there, so a run repeats exactly (lock-step). Frames alone go
    to the device then. The rest is a few kilobytes, which the update takes along: `device_put` costs 0.1 ms an array.

    Every batch is sampled into fresh memory and never recycled: on a CPU the device's array may be that very memory
    (https://github.com/jax-ml/jax/issues/37830), and a computation may still read it.
    """

    def __init__(
        self, sample: Callable[[], Batch], depth: int = 0, place: Callable[[Any], Any] = jax.device_put
    ) -> None:
        """`sample` draws one host batch; `place` moves arrays to where they are used: JAX's default device."""
        if depth < 0:
            raise InputError(f"depth is {depth}: 0 for none, or the number of batches to hold ready.")
        self.depth = depth
        self._sample = sample
        self._place = place
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=max(depth, 1))
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def get(self) -> Batch:
        """The next batch; what is large of it is on the device.

        Raises:
          Exception: whatever sampling raised, here and in every later call.
          RuntimeError: the prefetcher was stopped.
        """
        if self._stopping.is_set():
            raise RuntimeError("The prefetcher was stopped: make another one to go on.")
        if self.depth == 0:
            batch = self._sample()
            return batch if batch.frames is None else batch._replace(frames=self._place(batch.frames))
        if self._thread is None:
            # Started at the first use: before it the replay may be empty.
            self._thread = threading.Thread(target=self._work, name="prefetch", daemon=True)
            self._thread.start()
        item = self._ready.get()
        if isinstance(item, BaseException):
            self._ready.put(item)
            raise item
        return item

    @property
    def ready(self) -> int:
        """Batches that wait for `get`, about."""
        return self._ready.qsize()

    def stop(self) -> None:
        """Ends the thread and drops what it holds ready; more calls do nothing."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            while thread.is_alive():
                self._drain()
                thread.join(timeout=0.05)
        self._drain()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _make(self) -> Batch:
        return self._place(self._sample())

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                item: Batch | BaseException = self._make()
            except Exception as error:  # handed to the thread that calls get
                item = error
            self._ready.put(item)
            if isinstance(item, BaseException):
                return

    def _drain(self) -> None:
        while True:
            try:
                self._ready.get_nowait()
            except queue.Empty:
                return
