"""A ring of transitions in host memory: one uint8 frame a step, stacks rebuilt when sampled."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np

from avtd3_jax.agent.spaces import EXPERT, GREY_STACK, PRIVILEGED, ActionSpec, ObsSpec
from avtd3_jax.errors import InputError
from avtd3_jax.replay.batch import Batch

_NUMBERS = ("vector", PRIVILEGED, EXPERT)  # the parts of an observation that are float32 numbers
_LARGEST = float(np.finfo(np.float32).max)
EMPTY = "The replay holds no transition yet: add some before sampling."


class RowCopier:
    """Copies rows of an array by number, in parts on `threads` threads."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "gather") if threads > 1 else None

    def __call__(self, source: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
        """out[i] = source[rows[i]]: [n, ...] of [capacity, ...]."""
        if self._pool is None:
            _take(source, rows, out)
            return
        parts = np.array_split(np.arange(rows.size), self._threads)
        ranges = [slice(part[0], part[-1] + 1) for part in parts if part.size]
        for done in [self._pool.submit(_take, source, rows[part], out[part]) for part in ranges]:
            done.result()


class FrameMirror(Protocol):
    """A copy of a ring's frames from which pictures are taken in place of the ring's own."""

    def follow(self, frames: np.ndarray, head: int) -> None:
        """Takes over the frames [capacity, H, W] written since the last call, up to the absolute index `head`."""

    def locate(self, slots: np.ndarray) -> np.ndarray:
        """The ring's slots -> int32 rows of the copy, of the same shape."""

    def forget(self) -> None:
        """Every frame is another one now."""


class FrameRing:
    """A ring of one environment's observations, each stored once, that samples transitions uniformly.

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
        n_step: int = 1,
        copier: RowCopier | None = None,
    ) -> None:
        """Room for `capacity` observations; memory is touched only as it fills. `copier` copies a batch's frames.

        Raises:
          InputError: the capacity is too small for a transition, or `n_step` is below 1.
        """
        if n_step < 1:
            raise InputError(f"n_step is {n_step}: a transition has at least 1 step.")
        self.obs_spec = obs_spec
        self.action_spec = action_spec
        self.capacity = capacity
        self.n_step = n_step
        self._stack = obs_spec.image[0] if obs_spec.image else 1
        if capacity < self._stack + 2:
            raise InputError(
                f"The replay's capacity is {capacity} an environment: it must be at least {self._stack + 2}."
            )
        self._columns: dict[str, np.ndarray] = {
            name: np.zeros((capacity, *shape), dtype) for name, (shape, dtype) in _layout(obs_spec, action_spec).items()
        }
        self._copy_rows = copier or RowCopier()
        self._lock = threading.Lock()
        self._mirror: FrameMirror | None = None
        self._oldest = 0  # first absolute index that is not overwritten
        self._head = 0  # absolute index of the next observation
        self._transitions = 0  # in [oldest, head), sampled or not
        self._episode_start = -1  # of the episode under way, or -1

    @property
    def nbytes(self) -> int:
        """Bytes in use by the slots written so far."""
        return bytes_of_slots(self.obs_spec, self.action_spec, min(self._head, self.capacity))

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
          InputError: not an observation of the space, not finite, or an image stack that is not one frame repeated.
        """
        arrays = self.obs_spec.single(observation)
        image = arrays.get("image")
        if image is not None and (image[1:] != image[:1]).any():
            raise InputError(
                f"The first image stack of an episode must repeat its first frame. The replay takes {GREY_STACK}."
            )
        _require_finite_numbers(arrays)
        self._push(arrays, episode_start=self._head)
        self._episode_start = self._head - 1

    def add(self, action: np.ndarray, reward: float, next_observation: Any, terminated: bool, truncated: bool) -> None:
        """Stores the transition from the last observation given to `next_observation`.

        `truncated` ends the episode but keeps the bootstrap of its last transition.

        Raises:
          InputError: no episode was begun, an argument is not of its space or not finite, or the image stack does not
            go on with one frame where the last one ended; nothing is stored then.
        """
        if self._episode_start < 0:
            raise InputError("The replay has no episode under way: call begin_episode with the reset's observation.")
        arrays = self.obs_spec.single(next_observation)
        action = self.action_spec.single(action)
        reward = _number(reward)
        _require_finite("action", action)
        _require_finite_numbers(arrays)
        if "image" in arrays:
            self._check_stack(arrays["image"])
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
        frames = self._columns["frame"]
        for age in range(1, self._stack):
            slot = max(self._head - age, self._episode_start) % self.capacity
            # Bytes are compared several times as fast as arrays are, the copies included.
            if image[-1 - age].tobytes() != frames[slot].tobytes():
                raise InputError(
                    "The image stack does not hold the last observations' frames before its own. The replay rebuilds "
                    f"stacks from one frame per environment step, and takes {GREY_STACK}."
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
        for name in _NUMBERS:
            if name in arrays:
                columns[name][slot] = arrays[name]
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
            raise InputError(EMPTY)
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

    def mirror_frames(self, mirror: FrameMirror) -> None:
        """From now on sampled batches hold `mirror`'s rows, int32 [B, S + min(n, S)], in place of the frames."""
        self._mirror = mirror

    @property
    def mirrored(self) -> bool:
        """Whether sampled batches hold the rows of a mirror in place of frames."""
        return self._mirror is not None

    def sample_into(self, batch: Batch, rng: np.random.Generator) -> None:
        """Fills `batch` with transitions drawn uniformly by `rng`, with replacement.

        Raises:
          InputError: there is no transition yet.
        """
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
        next_slot = (drawn.first + drawn.steps) % self.capacity
        if batch.vector is not None:
            _take(columns["vector"], slot, batch.vector)
            _take(columns["vector"], next_slot, batch.next_vector)
        if batch.privileged is not None:
            _take(columns[PRIVILEGED], slot, batch.privileged)
            _take(columns[PRIVILEGED], next_slot, batch.next_privileged)
        if batch.expert is not None:
            _take(columns[EXPERT], slot, batch.expert)
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
        self._copy_rows(frames.reshape(self.capacity, -1), slots.ravel(), out.reshape(slots.size, -1))

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
          InputError: they come from a replay of another observation or action.
        """
        for name, column in self._columns.items():
            if name not in columns or columns[name].shape[1:] != column.shape[1:]:
                raise InputError(f"The saved replay's {name} has another shape: it was made for another observation.")
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
            }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly from where `get_state` was called, once `write_slots` has put the slots back."""
        with self._lock:
            self._oldest, self._head = state["oldest"], state["head"]
            self._transitions = state["transitions"]
            self._episode_start = state["episode_start"]
        if self._mirror is not None:
            self._mirror.forget()


class _Drawn(NamedTuple):
    """Transitions by absolute indices: [B] of obs, [B] steps to next_obs, [B, S + min(n, S)] of the frames."""

    first: np.ndarray
    steps: np.ndarray
    frames: np.ndarray


def bytes_of_slots(obs_spec: ObsSpec, action_spec: ActionSpec, count: int) -> int:
    """Bytes that `count` slots take."""
    layout = _layout(obs_spec, action_spec).values()
    return count * sum(int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize for shape, dtype in layout)


def _layout(obs_spec: ObsSpec, action_spec: ActionSpec) -> dict[str, tuple[tuple[int, ...], type]]:
    """Name -> (shape, dtype) of one slot's columns."""
    layout: dict[str, tuple[tuple[int, ...], type]] = {}
    if obs_spec.image is not None:
        layout["frame"] = (obs_spec.image[1:], np.uint8)
    layout |= {name: (shape, np.float32) for name, shape in obs_spec.shapes.items() if name in _NUMBERS}
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


def _number(reward: Any) -> float:
    if type(reward) is not float:
        array = np.asarray(reward)
        if array.ndim or array.dtype.kind not in "bfiu":
            raise InputError(f"The reward is {reward!r}: the environment must give one number.")
        reward = float(array)
    if not abs(reward) <= _LARGEST:
        raise InputError(f"The reward {reward} is not finite: fix the environment that produced it.")
    return reward


def _require_finite_numbers(arrays: Mapping[str, np.ndarray]) -> None:
    for name in _NUMBERS:
        if name in arrays:
            _require_finite(name, arrays[name])


def _require_finite(name: str, value: np.ndarray) -> None:
    if not np.isfinite(value).all():
        raise InputError(f"The {name} {value} is not finite: fix the environment or the policy that produced it.")
