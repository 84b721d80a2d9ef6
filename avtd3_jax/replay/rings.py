"""Replay of several environments: one frame ring each, sampled as one."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.replay.ring import Batch, FrameReplay, check_memory
from avtd3_jax.settings.schema import ReplayConfig


class ReplayRings:
    """One `FrameReplay` per environment, sampled uniformly over the valid transitions of all of them.

    An episode's frames lie in one ring, so episodes of different environments may be written in any interleaving.
    One thread may add, to whichever ring, while others sample.
    """

    def __init__(
        self,
        obs_spec: ObsSpec,
        action_spec: ActionSpec,
        capacity: int,
        environments: int,
        seed: int = 0,
        n_step: int = 1,
        gather_threads: int = 1,
    ) -> None:
        """Room for `capacity` observations in all, in equal parts; the last two as in `FrameReplay`.

        Raises:
          ValueError: as `FrameReplay` does of a part, or the whole is larger than the memory that is available.
        """
        if environments < 1:
            raise ValueError(f"environments is {environments}: a replay needs at least one ring.")
        check_memory(FrameReplay.bytes_at_capacity(obs_spec, action_spec, capacity))
        part = capacity // environments
        self.rings = tuple(
            FrameReplay(obs_spec, action_spec, part, n_step=n_step, gather_threads=gather_threads)
            for _ in range(environments)
        )
        self.capacity = part * environments
        self.obs_spec = obs_spec
        self.action_spec = action_spec
        self._rng = np.random.default_rng(seed)
        self._lock = threading.Lock()

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

    def end_torn_episode(self) -> None:
        """Ends the episodes under way without a last step; their whole transitions stay."""
        for ring in self.rings:
            ring.end_torn_episode()

    def sample(self, batch_size: int) -> Batch:
        """`batch_size` transitions drawn uniformly, with replacement, ring after ring, into fresh contiguous arrays.

        Raises:
          ValueError: no ring holds a transition yet.
        """
        counts = np.array([len(ring) for ring in self.rings], np.float64)
        if not counts.any():
            raise ValueError("The replay holds no transition yet: add some before sampling.")
        with self._lock:
            shares = self._rng.multinomial(batch_size, counts / counts.sum())
            seeds = self._rng.integers(2**63, size=len(self.rings))
        batch, row = self.rings[0].empty_batch(batch_size), 0
        for ring, share, seed in zip(self.rings, shares, seeds, strict=True):
            if share:
                part = Batch(*(None if array is None else array[row : row + share] for array in batch))
                ring.sample_into(part, np.random.default_rng(seed))
                row += share
        return batch

    def get_state(self) -> dict[str, Any]:
        """Everything but the rings' slots, JSON-able."""
        with self._lock:
            return {"rings": [ring.get_state() for ring in self.rings], "rng": self._rng.bit_generator.state}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """As `FrameReplay.set_state`, once the slots of every ring have been put back.

        Raises:
          ValueError: it comes from a replay of another capacity or number of environments.
        """
        saved = state.get("rings", [state])
        if len(saved) != len(self.rings):
            raise ValueError(
                f"The saved replay is that of {len(saved)} environments, this one of {len(self.rings)}: "
                "make num_envs equal."
            )
        for ring, ring_state in zip(self.rings, saved, strict=True):
            ring.set_state(ring_state)
        self._rng.bit_generator.state = state["rng"]


def make_replay(
    obs_spec: ObsSpec, action_spec: ActionSpec, config: ReplayConfig, environments: int, seed: int
) -> FrameReplay | ReplayRings:
    """The replay of a run with so many environments. Raises ValueError as the two do."""
    options = {"n_step": config.n_step, "gather_threads": config.gather_threads}
    if environments == 1:
        return FrameReplay(obs_spec, action_spec, config.capacity, seed, **options)
    return ReplayRings(obs_spec, action_spec, config.capacity, environments, seed, **options)
