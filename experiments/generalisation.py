"""python -m experiments.generalisation --checkpoint runs/NAME: does what a run's losses teach hold on other drives?

A fresh learner of the run's configuration takes updates on the first three quarters of the run's replay. Its heads'
numbers are then put beside what the simulator knew, on those episodes and on the others, which it has never
seen; the rows are those of experiments.perception. --config.agent.KEY=VALUE changes the learner.

example: python -m experiments.generalisation --checkpoint runs/drive --updates 4000 --config.agent.random_shift=8
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from avtd3_jax import runtime
from avtd3_jax.agent.td3 import TD3
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.commands import run_command
from avtd3_jax.errors import ConfigError
from avtd3_jax.replay.ring import FrameRing
from avtd3_jax.settings.config_file import split_options, with_changes
from avtd3_jax.settings.run_config import file_values, parse_saved
from avtd3_jax.training.build import build_parts
from envloop.make import spaces_of
from experiments.perception import Numbers, heads_of, table
from reporting.publish import plain_parser

SHARE = 0.75  # of the replay, to learn from
_JUDGED = 64  # observations at a time
_EVERY = 4  # decisions: neighbours say the same


class Drives:
    """The observations of a replay's ring, by episodes."""

    def __init__(self, ring: FrameRing, stack: int) -> None:
        oldest, head = ring.span
        self._columns = ring.read_slots(oldest, head)
        self._stack, self._oldest = stack, oldest
        self._begins = np.maximum(self._columns["episode_start"] - oldest, 0)

    def __len__(self) -> int:
        return len(self._begins)

    def part(self, share: float) -> int:
        """The first slot of the first episode that begins after `share` of the slots."""
        later = self._begins[self._begins >= share * len(self)]
        return int(later[0]) if len(later) else len(self)

    def observations(self, slots: np.ndarray) -> dict[str, np.ndarray]:
        """The images [B, S, H, W] and the vectors, where there are any."""
        ages = np.arange(self._stack - 1, -1, -1)
        frames = np.maximum(slots[:, None] - ages[None], self._begins[slots][:, None])
        parts = {"image": self._columns["frame"][frames]}
        return parts | ({"vector": self._columns["vector"][slots]} if "vector" in self._columns else {})

    def told(self, slots: np.ndarray) -> Numbers:
        """[B, K] what the simulator knew."""
        known: Numbers = self._columns["privileged"][slots]
        return known

    def keep(self, ring: FrameRing, end: int) -> None:
        """Lets `ring` sample from the slots before `end` alone."""
        transitions = int(self._columns["has_transition"][:end].sum())
        state = {"head": self._oldest + end, "transitions": transitions, "episode_start": -1}
        ring.set_state({**ring.get_state(), **state})


def judged(agent: TD3, params: dict, drives: Drives, slots: np.ndarray) -> list[str]:
    """Lines of the table of `perception` for these slots."""
    said = [
        agent.told(params, drives.observations(slots[first : first + _JUDGED]))
        for first in range(0, len(slots), _JUDGED)
    ]
    known = drives.told(slots)
    return table(np.concatenate(said)[:, : known.shape[1]], known)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    rest, changes = split_options(list(sys.argv[1:] if argv is None else argv))
    options = plain_parser(__doc__)
    options.add_argument("--checkpoint", type=Path, required=True, help="directory of a training run")
    options.add_argument("--updates", type=int, default=4000)
    args = options.parse_args(rest)

    def work() -> int:
        runtime.setup("cpu", option="--device")
        with Checkpoints(args.checkpoint / "checkpoints", read_only=True) as saved:
            run = with_changes(file_values(parse_saved(saved.extras(None)["config"])), changes)
            heads_of(run, args.checkpoint)
            parts = build_parts(run, *spaces_of(run.env))
            agent = parts.agent
            saved.restore(agent.init(run.seed), parts.replay)
        if not isinstance(agent, TD3) or len(parts.replay.rings) != 1 or agent.obs_spec.image is None:
            raise ConfigError(f"{args.checkpoint}: one environment's pictures, learned by TD3 or DDPG, can be judged.")
        (ring,) = parts.replay.rings
        drives = Drives(ring, agent.obs_spec.image[0])
        cut = drives.part(SHARE)
        drives.keep(ring, cut)
        print(f"run        {args.checkpoint}; {cut} decisions to learn from, {len(drives) - cut} others", flush=True)
        state = agent.init(run.seed)
        for update in tqdm(range(args.updates), desc="generalisation", unit="update"):
            state, _ = agent.step(state, parts.replay.sample(run.batch_size), update)
        for name, begin, end in (("learned from", 0, cut), ("never seen", cut, len(drives))):
            print(f"\n{name}\n")
            print("\n".join(judged(agent, state.params, drives, np.arange(begin, end, _EVERY))))
        return 0

    return run_command("generalisation", work, "interrupted; nothing was measured.")


if __name__ == "__main__":
    sys.exit(main())
