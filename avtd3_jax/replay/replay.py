"""Replay of transitions in host memory: a ring of frames for each environment, sampled as one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.errors import InputError
from avtd3_jax.replay.batch import Batch, make_batch
from avtd3_jax.replay.memory import check_memory
from avtd3_jax.replay.ring import EMPTY, FrameRing, RowCopier, bytes_of_slots
from avtd3_jax.seeding import RunStream, generator


class FrameReplay:
    """One `FrameRing` per environment, sampled uniformly over the valid transitions of all of them.

    An episode's frames lie in one ring, so episodes of different environments may be written in any interleaving.
    One thread may add, to whichever ring, while another samples.
    """

    def __init__(
        self,
        obs_spec: ObsSpec,
        action_spec: ActionSpec,
        capacity: int,
        environments: int = 1,
        seed: int = 0,
        n_step: int = 1,
        gather_threads: int = 1,
    ) -> None:
        """Room for `capacity` observations in all, in equal parts; memory is touched only as it fills.

        `gather_threads` copy the frames of a batch: one copies some 800 batches of 256 a second.

        Raises:
          InputError: an argument is too small, or the capacity is more than the memory that is available.
        """
        if environments < 1:
            raise InputError(f"environments is {environments}: a replay needs at least one.")
        if gather_threads < 1:
            raise InputError(f"gather_threads is {gather_threads}: at least one must copy.")
        check_memory(self.bytes_at_capacity(obs_spec, action_spec, capacity))
        copier, part = RowCopier(gather_threads), capacity // environments
        self.rings: Sequence[FrameRing] = tuple(
            FrameRing(obs_spec, action_spec, part, n_step, copier) for _ in range(environments)
        )
        self.capacity = part * environments
        self.obs_spec = obs_spec
        self.action_spec = action_spec
        self.n_step = n_step
        self._rng = generator(seed, RunStream.REPLAY)

    @staticmethod
    def bytes_at_capacity(obs_spec: ObsSpec, action_spec: ActionSpec, capacity: int) -> int:
        """Bytes of a full replay."""
        return bytes_of_slots(obs_spec, action_spec, capacity)

    @property
    def nbytes(self) -> int:
        """Bytes in use by the slots written so far."""
        return sum(ring.nbytes for ring in self.rings)

    @property
    def fill(self) -> float:
        """Fraction of the slots that are in use."""
        return sum(ring.fill for ring in self.rings) / len(self.rings)

    def __len__(self) -> int:
        """Number of transitions that can be sampled."""
        return sum(len(ring) for ring in self.rings)

    def begin_episode(self, observation: Any, environment: int = 0) -> None:
        """Stores the observation of an environment's reset. Raises InputError as `FrameRing.begin_episode` does."""
        self.rings[environment].begin_episode(observation)

    def add(
        self,
        action: np.ndarray,
        reward: float,
        next_observation: Any,
        terminated: bool,
        truncated: bool,
        environment: int = 0,
    ) -> None:
        """Stores a step of an environment. Raises InputError as `FrameRing.add` does."""
        self.rings[environment].add(action, reward, next_observation, terminated, truncated)

    def end_torn_episode(self, environment: int | None = None) -> None:
        """Ends an environment's episode under way, or every one's, without a last step; its whole transitions stay."""
        for ring in self.rings if environment is None else (self.rings[environment],):
            ring.end_torn_episode()

    def sample(self, batch_size: int) -> Batch:
        """`batch_size` transitions drawn uniformly, with replacement, ring after ring, into fresh contiguous arrays.

        Raises:
          InputError: there is no transition yet.
        """
        batch, row = self.empty_batch(batch_size), 0
        if len(self.rings) == 1:
            self.rings[0].sample_into(batch, self._rng)
            return batch
        for ring, share in zip(self.rings, self._shares(batch_size), strict=True):
            if share:
                part = Batch(*(None if array is None else array[row : row + share] for array in batch))
                ring.sample_into(part, self._rng)
                row += share
        return batch

    def _shares(self, batch_size: int) -> Sequence[int]:
        """How many transitions of a batch come from which ring."""
        counts = np.array([len(ring) for ring in self.rings], np.float64)
        if not counts.any():
            raise InputError(EMPTY)
        return self._rng.multinomial(batch_size, counts / counts.sum()).tolist()

    def empty_batch(self, size: int) -> Batch:
        """Contiguous arrays for `size` transitions, not initialised."""
        batch = make_batch(self.obs_spec, self.action_spec, size, np.empty, self.n_step)
        if not self.rings[0].mirrored:
            return batch
        return batch._replace(frames=np.empty(batch.frames.shape[:2], np.int32))

    def get_state(self) -> dict[str, Any]:
        """Everything but the rings' slots, JSON-able."""
        return {"rings": [ring.get_state() for ring in self.rings], "rng": self._rng.bit_generator.state}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly from where `get_state` was called, once `write_slots` has put the slots of every ring back.

        Raises:
          InputError: it comes from a replay of another capacity or number of environments.
        """
        saved = state["rings"]
        if len(saved) != len(self.rings):
            raise InputError(
                f"The saved replay is that of {len(saved)} environments, this one of {len(self.rings)}: "
                "make num_envs equal."
            )
        if (capacity := sum(ring["capacity"] for ring in saved)) != self.capacity:
            raise InputError(
                f"The saved replay has the capacity {capacity}, this one {self.capacity}: make replay.capacity equal."
            )
        for ring, ring_state in zip(self.rings, saved, strict=True):
            ring.set_state(ring_state)
        self._rng.bit_generator.state = state["rng"]
