"""What is kept of the episodes under way, one an environment."""

import dataclasses
from typing import Any

from avtd3_jax.training.exploration import EpisodeNoise


@dataclasses.dataclass
class RunningEpisode:
    """An environment's episode.

    number: of the episode within the run.
    noise: of its actions.
    rewards: of its steps so far.
    term_sums: of the reward's terms so far, by name.
    """

    number: int
    noise: EpisodeNoise
    rewards: list[float] = dataclasses.field(default_factory=list)
    term_sums: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def length(self) -> int:
        return len(self.rewards)

    @property
    def total(self) -> float:
        """The return so far, not discounted."""
        return sum(self.rewards)

    def add(self, reward: float, terms: dict[str, float]) -> None:
        """Takes a step's reward, and its terms where there are any."""
        self.rewards.append(reward)
        for name, value in terms.items():
            self.term_sums[name] = self.term_sums.get(name, 0.0) + value

    def record(self, step: int, metrics: dict[str, Any]) -> dict[str, Any]:
        """The line of the log once it has ended, at environment step `step`."""
        summary = {"step": step, "episode": self.number, "length": self.length, "return": self.total}
        return {**summary, "reward_terms": self.term_sums, **metrics}
