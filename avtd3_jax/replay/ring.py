"""Replay of transitions in host memory: one uint8 frame a step, stacks rebuilt when sampled."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import psutil

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec


class Batch(NamedTuple):
    """A batch of B transitions of up to n steps each; an observation part that the space lacks is None.

    The first step is from obs by `action`, and next_obs follows the last. What a sum of n rewards is worth, and what
    follows it, is left to the learner: gamma is its own.

    frames: uint8 [B, S + min(n, S), H, W], oldest first; obs is [:, :S]. With n < S they are consecutive and next_obs
      begins at `steps`, else it is the last S; `split_frames` knows.
    vector, next_vector: float32 [B, D].
    action: float32 [B, A].
    reward: float32 [B, n], one per step, zero after the last.
    steps: int32 [B], how many steps lie between obs and next_obs: n, or fewer where the episode ends before.
    terminated: bool [B], after the last step; a time limit is not a termination.
    """

    frames: Any
    vector: Any
    next_vector: Any
    action: Any
    reward: Any
    steps: Any
    terminated: Any


def make_batch(
    obs_spec: ObsSpec, action_spec: ActionSpec, size: int, make: Callable[..., Any], n_step: int = 1
) -> Batch:
    """A batch of `size` transitions of up to `n_step` steps of `make(shape, dtype)`: arrays, or their shapes alone."""
    image, vector = obs_spec.image, obs_spec.vector
    return Batch(
        frames=None
        if image is None
        else make((size, image[0] + min(n_step, image[0]), *image[1:]), np.dtype(np.uint8)),
        vector=None if vector is None else make((size, vector), np.dtype(np.float32)),
        next_vector=None if vector is None else make((size, vector), np.dtype(np.float32)),
        action=make((size, action_spec.size), np.dtype(np.float32)),
        reward=make((size, n_step), np.dtype(np.float32)),
        steps=make((size,), np.dtype(np.int32)),
        terminated=make((size,), np.dtype(np.bool_)),
    )


class FrameMirror(Protocol):
    """A copy of a ring's frames from which pictures are taken in place of the ring's own."""

    def follow(self, frames: np.ndarray, head: int) -> None:
        """Takes over the frames [capacity, H, W] written since the last call, up to the absolute index `head`."""

    def locate(self, slots: np.ndarray) -> np.ndarray:
        """The ring's slots -> int32 rows of the copy, of the same shape."""

    def forget(self) -> None:
        """Every frame is another one now."""


class FrameReplay:
    """A ring of observations, each stored once, that samples transitions uniformly.

    Every observation takes one slot, an episode's last one too; the transition from an observation to the next lies
    in the slot of the first. Slots are addressed by an absolute index that only grows; `index % capacity` is the slot.
    A stack's frames before the episode's first are that first frame repeated, so no pre-roll is stored.

    A sample spans `n_step` steps, fewer where its episode ends or has not gone on further yet: at a termination there
    is nothing to bootstrap from, anywhere else the last observation stored is as good as the one n steps on.

    One thread may add while others sample.
    """

    def __init__(
        self,
        obs_spec: ObsSpec,
        action_spec: ActionSpec,
        capacity: int,
        seed: int = 0,
        n_step: int = 1,
        gather_threads: int = 1,
    ) -> None:
        """Room for `capacity` observations; memory is touched only as it fills.

        `gather_threads` copy the frames of a batch: one copies some 800 batches of 256 a second.

        Raises:
          ValueError: the capacity is too small, or larger than the memory that is available; `n_step` is below 1.
        """
        if n_step < 1:
            raise ValueError(f"n_step is {n_step}: a transition has at least 1 step.")
        self.obs_spec = obs_spec
        self.action_spec = action_spec
        self.capacity = capacity
        self.n_step = n_step
        self._stack = obs_spec.image[0] if obs_spec.image else 1
        if capacity < self._stack + 2:
            raise ValueError(f"The replay's capacity is {capacity}: it must be at least {self._stack + 2}.")
        check_memory(self.bytes_at_capacity(obs_spec, action_spec, capacity))
        self._columns: dict[str, np.ndarray] = {
            name: np.zeros((capacity, *shape), dtype) for name, (shape, dtype) in _layout(obs_spec, action_spec).items()
        }
        self._rng = np.random.default_rng(seed)
        self._lock = threading.Lock()
        self._mirror: FrameMirror | None = None
        self._gather_threads = gather_threads
        self._pool = ThreadPoolExecutor(gather_threads, "gather") if gather_threads > 1 else None
        self._oldest = 0  # first absolute index that is not overwritten
        self._head = 0  # absolute index of the next observation
        self._transitions = 0  # in [oldest, head), sampled or not
        self._episode_start = -1  # of the episode under way, or -1
        self._first_step = False

    @staticmethod
    def bytes_at_capacity(obs_spec: ObsSpec, action_spec: ActionSpec, capacity: int) -> int:
        """Bytes of a full replay."""
        layout = _layout(obs_spec, action_spec).values()
        return capacity * sum(int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize for shape, dtype in layout)

    @property
    def nbytes(self) -> int:
        """Bytes in use by the slots written so far."""
        return self.bytes_at_capacity(self.obs_spec, self.action_spec, min(self._head, self.capacity))

    @property
    def fill(self) -> float:
        """Fraction of the slots that are in use."""
        return min(self._head, self.capacity) / self.capacity

    def __len__(self) -> int:
        """Number of transitions that can be sampled."""
        with self._lock:
            return self._count_valid()

    def begin_episode(self, observation: Any) -> None:
        """Stores the observation of a reset; an episode still under way ends as `end_torn_episode` has it.

        Raises:
          ValueError: not finite, or an image stack that is not one frame repeated.
        """
        arrays = self.obs_spec.as_dict(observation)
        image = arrays.get("image")
        if image is not None and (image[1:] != image[:1]).any():
            raise ValueError(
                "The first image stack of an episode must repeat its first frame: use "
                "gymnasium.wrappers.FrameStackObservation with padding_type='reset'."
            )
        _require_finite("vector", arrays.get("vector"))
        self._push(arrays, episode_start=self._head)
        self._episode_start = self._head - 1
        self._first_step = True

    def add(self, action: np.ndarray, reward: float, next_observation: Any, terminated: bool, truncated: bool) -> None:
        """Stores the transition from the last observation given to `next_observation`.

        `truncated` ends the episode but keeps the bootstrap of its last transition.

        Raises:
          ValueError: no episode was begun, or a number is not finite; nothing is stored then.
        """
        if self._episode_start < 0:
            raise ValueError("The replay has no episode under way: call begin_episode with the reset's observation.")
        arrays = self.obs_spec.as_dict(next_observation)
        action = np.asarray(action, np.float32)
        _require_finite("action", action)
        _require_finite("reward", np.float32(reward))
        _require_finite("vector", arrays.get("vector"))
        if self._first_step and self.obs_spec.image is not None:
            self._check_stack(arrays["image"])
        self._first_step = False
        slot = (self._head - 1) % self.capacity
        columns = self._columns
        columns["action"][slot] = action
        columns["reward"][slot] = reward
        columns["terminated"][slot] = terminated
        self._push(arrays, episode_start=self._episode_start, completes=slot)
        if terminated or truncated:
            self._episode_start = -1

    def end_torn_episode(self) -> None:
        """Ends the episode under way without a last step; its whole transitions stay."""
        self._episode_start = -1

    def _check_stack(self, image: np.ndarray) -> None:
        if len(image) > 1 and (image[-2] != self._columns["frame"][(self._head - 1) % self.capacity]).any():
            raise ValueError(
                "The image stack does not hold the last observation's frame before its own: the replay rebuilds stacks "
                "from one frame a step, so stack one frame per environment step."
            )

    def _push(self, arrays: dict[str, np.ndarray], episode_start: int, completes: int | None = None) -> None:
        slot = self._head % self.capacity
        columns = self._columns
        with self._lock:
            # Before the slot is written: a sample being gathered then sees that it was overtaken.
            if self._head - self._oldest == self.capacity:
                self._transitions -= int(columns["has_transition"][slot])
                self._oldest += 1
            columns["has_transition"][slot] = False
        if "image" in arrays:
            columns["frame"][slot] = arrays["image"][-1]
        if "vector" in arrays:
            columns["vector"][slot] = arrays["vector"]
        columns["episode_start"][slot] = episode_start
        with self._lock:
            if completes is not None:
                columns["has_transition"][completes] = True
                self._transitions += 1
            self._head += 1

    def _count_valid(self) -> int:
        edge = np.arange(self._oldest, min(self._oldest + self._stack - 1, self._head))
        return self._transitions - int(
            (self._columns["has_transition"][edge % self.capacity] & ~self._valid(edge)).sum()
        )

    def _valid(self, index: np.ndarray) -> np.ndarray:
        """Which absolute indices hold a transition whose frames are all still there. [B] -> bool [B]."""
        slot = index % self.capacity
        first = np.maximum(index - (self._stack - 1), self._columns["episode_start"][slot])
        return self._columns["has_transition"][slot] & (first >= self._oldest)

    def _draw(self, size: int, rng: np.random.Generator) -> "_Drawn":
        """Transitions, uniform over the valid ones, by rejection."""
        if self._count_valid() == 0:
            raise ValueError("The replay holds no transition yet: add some before sampling.")
        index = rng.integers(self._oldest, self._head, size)
        while (rejected := np.flatnonzero(~self._valid(index))).size:
            index[rejected] = rng.integers(self._oldest, self._head, rejected.size)
        first = self._columns["episode_start"][index % self.capacity]
        steps = self._steps(index)
        last = index + steps
        if self.n_step < self._stack:
            frames = np.minimum(index[:, None] + np.arange(1 - self._stack, self.n_step + 1), last[:, None])
        else:
            frames = (np.stack([index, last], axis=1)[:, :, None] + np.arange(1 - self._stack, 1)).reshape(size, -1)
        # Before an episode's first frame there is none: repeat it.
        return _Drawn(index, steps, np.maximum(frames, first[:, None]))

    def _steps(self, index: np.ndarray) -> np.ndarray:
        """How many of the steps from `index` [B] on follow each other, n at most. -> int [B].

        The last observation of an episode, and the one at the head, have no transition: none is looked at beyond them.
        """
        if self.n_step == 1:
            return np.ones_like(index)
        following = self._columns["has_transition"][(index[:, None] + np.arange(self.n_step)) % self.capacity]
        return np.logical_and.accumulate(following, axis=1).sum(axis=1)

    @property
    def rings(self) -> tuple["FrameReplay"]:
        """The rings that environments write to, by number: this one alone."""
        return (self,)

    def sample(self, batch_size: int) -> Batch:
        """`batch_size` transitions drawn uniformly, with replacement, into fresh contiguous arrays."""
        batch = self.empty_batch(batch_size)
        self.sample_into(batch, self._rng)
        return batch

    def empty_batch(self, size: int) -> Batch:
        """Contiguous arrays for `size` transitions, not initialised."""
        batch = make_batch(self.obs_spec, self.action_spec, size, np.empty, self.n_step)
        return batch if self._mirror is None else batch._replace(frames=np.empty(batch.frames.shape[:2], np.int32))

    def mirror_frames(self, mirror: FrameMirror) -> None:
        """From now on sampled batches hold `mirror`'s rows, int32 [B, S + min(n, S)], in place of the frames."""
        self._mirror = mirror

    def sample_into(self, batch: Batch, rng: np.random.Generator) -> None:
        """Fills `batch` with transitions drawn uniformly by `rng`, with replacement."""
        while True:
            with self._lock:
                drawn = self._draw(len(batch.reward), rng)
            # Outside the lock, so that adding never waits for it; repeated in the rare case that adding overtook it.
            self._gather(drawn, batch)
            with self._lock:
                if drawn.frames.min() >= self._oldest:
                    return

    def _gather(self, drawn: "_Drawn", batch: Batch) -> None:
        """Copies what was drawn into `batch`."""
        columns, slot = self._columns, drawn.first % self.capacity
        if batch.frames is not None:
            self._gather_frames(drawn.frames % self.capacity, batch.frames)
        if batch.vector is not None:
            _take(columns["vector"], slot, batch.vector)
            _take(columns["vector"], (drawn.first + drawn.steps) % self.capacity, batch.next_vector)
        _take(columns["action"], slot, batch.action)
        _take(columns["terminated"], (drawn.first + drawn.steps - 1) % self.capacity, batch.terminated)
        ahead = np.arange(self.n_step)
        _take(columns["reward"], (drawn.first[:, None] + ahead) % self.capacity, batch.reward)
        if self.n_step > 1:
            batch.reward[ahead >= drawn.steps[:, None]] = 0.0
        batch.steps[:] = drawn.steps

    def _gather_frames(self, slots: np.ndarray, out: np.ndarray) -> None:
        frames = self._columns["frame"]
        if self._mirror is not None:
            self._mirror.follow(frames, self._head)
            out[:] = self._mirror.locate(slots)
            return
        source, rows, target = frames.reshape(self.capacity, -1), slots.ravel(), out.reshape(slots.size, -1)
        if self._pool is None:
            _take(source, rows, target)
            return
        parts = np.array_split(np.arange(rows.size), self._gather_threads)
        ranges = [slice(part[0], part[-1] + 1) for part in parts if part.size]
        for done in [self._pool.submit(_take, source, rows[part], target[part]) for part in ranges]:
            done.result()

    @property
    def span(self) -> tuple[int, int]:
        """Absolute indices of the slots held: the first, and the one after the last."""
        with self._lock:
            return self._oldest, self._head

    def read_slots(self, begin: int, end: int) -> dict[str, np.ndarray]:
        """Copies of every column [end - begin, ...] of the slots from absolute index `begin` to before `end`.

        A slot does not change any more once another one follows it, until it is overwritten.
        """
        first, count = begin % self.capacity, end - begin
        parts = (
            slice(first, first + count),
            slice(0, max(first + count - self.capacity, 0)),
        )  # the second where it wraps
        return {name: np.concatenate([column[part] for part in parts]) for name, column in self._columns.items()}

    def write_slots(self, begin: int, columns: Mapping[str, np.ndarray]) -> None:
        """Puts back what `read_slots` gave; `set_state` says which slots are held.

        Raises:
          ValueError: they come from a replay of another observation or action.
        """
        for name, column in self._columns.items():
            if name not in columns or columns[name].shape[1:] != column.shape[1:]:
                raise ValueError(f"The saved replay's {name} has another shape: it was made for another observation.")
        for name, column in self._columns.items():
            column[np.arange(begin, begin + len(columns[name])) % self.capacity] = columns[name]

    def get_state(self) -> dict[str, Any]:
        """Everything but the slots, JSON-able."""
        with self._lock:
            return {
                "capacity": self.capacity,
                "oldest": self._oldest,
                "head": self._head,
                "transitions": self._transitions,
                "episode_start": self._episode_start,
                "first_step": self._first_step,
                "rng": self._rng.bit_generator.state,
            }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly from where `get_state` was called, once `write_slots` has put the slots back.

        Raises:
          ValueError: it comes from a replay of another capacity or number of environments.
        """
        if "rings" in state:
            raise ValueError(
                f"The saved replay is that of {len(state['rings'])} environments, this one of 1: make num_envs equal."
            )
        if state["capacity"] != self.capacity:
            raise ValueError(
                f"The saved replay has the capacity {state['capacity']}, this one {self.capacity}: make them equal."
            )
        with self._lock:
            self._oldest, self._head = state["oldest"], state["head"]
            self._transitions = state["transitions"]
            self._episode_start, self._first_step = state["episode_start"], state["first_step"]
            self._rng.bit_generator.state = state["rng"]
        if self._mirror is not None:
            self._mirror.forget()


class _Drawn(NamedTuple):
    """Transitions by absolute indices: [B] of obs, [B] steps to next_obs, [B, S + min(n, S)] of the frames."""

    first: np.ndarray
    steps: np.ndarray
    frames: np.ndarray


def check_memory(needed: int) -> None:
    """Raises ValueError when `needed` bytes are more than the machine, or this process's cgroup, has left."""
    available = psutil.virtual_memory().available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()) != "max":
        available = min(available, int(text) - int(used.read_text()))
    if needed > available:
        raise ValueError(
            f"The replay needs {needed / 1e9:.2f} GB when full and {available / 1e9:.2f} GB of memory are available: "
            f"lower its capacity by a factor of {needed / max(available, 1):.1f} or more."
        )


def _layout(obs_spec: ObsSpec, action_spec: ActionSpec) -> dict[str, tuple[tuple[int, ...], type]]:
    """Name -> (shape, dtype) of one slot's columns."""
    layout: dict[str, tuple[tuple[int, ...], type]] = {}
    if obs_spec.image is not None:
        layout["frame"] = (obs_spec.image[1:], np.uint8)
    if obs_spec.vector is not None:
        layout["vector"] = ((obs_spec.vector,), np.float32)
    return layout | {
        "action": ((action_spec.size,), np.float32),
        "reward": ((), np.float32),
        "terminated": ((), np.bool_),
        "has_transition": ((), np.bool_),
        "episode_start": ((), np.int64),
    }


def _take(column: np.ndarray, slots: np.ndarray, out: np.ndarray) -> None:
    # With `out` and without bounds checks numpy copies row by row with memcpy; fancy indexing is several times slower.
    np.take(column, slots, axis=0, out=out, mode="clip")


def _require_finite(name: str, value: np.ndarray | np.floating | None) -> None:
    if value is not None and not np.isfinite(value).all():
        raise ValueError(f"The {name} {value} is not finite: fix the environment or the policy that produced it.")
