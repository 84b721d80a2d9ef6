"""A row of the results: one policy of one experiment with one seed, its configuration, and where its files lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avtd3_jax.errors import ConfigError, InputError
from avtd3_jax.settings.config_file import load, split_options, typed
from avtd3_jax.settings.run_config import file_values, keys_of
from experiments.experiments import EXPERIMENTS, Changes, Experiment, Variant

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Row:
    """`seed` is the training's, None for a policy that needs none; `extra` are changes from the command line."""

    experiment: Experiment
    variant: Variant
    seed: int | None
    extra: Changes

    @property
    def name(self) -> str:
        """Of its file and its run directory: "td3-seed0", "pid"."""
        return self.variant.name if self.seed is None else f"{self.variant.name}-seed{self.seed}"

    def __str__(self) -> str:
        return f"{self.experiment.name}/{self.name}"

    @property
    def changes(self) -> dict[str, Any]:
        """Config keys that differ from the file's: the experiment's, the variant's, then the command line's."""
        seed = {} if self.seed is None else {"seed": self.seed}
        return {**self.experiment.changes, **self.variant.changes, **seed, **self.extra}

    @property
    def config_file(self) -> str:
        """From the repository's root."""
        return f"configs/{self.experiment.config}.py"

    def config(self) -> dict[str, Any]:
        """The whole configuration, plain data; ConfigError names a key that does not exist or a value it refuses."""
        try:
            run = load(_ROOT / self.config_file, self.changes)
        except ConfigError as error:
            raise ConfigError(f"{self}: {error}") from error
        values = file_values(run)
        if not values["eval_every"]:
            raise ConfigError(f"{self}: config.eval_every is 0, and a learning curve needs evaluations.")
        return values

    @property
    def command(self) -> str:
        """What makes this row, from the repository's root."""
        words = ["python -m experiments run", self.experiment.name, "--only", self.variant.name]
        words += [] if self.seed is None else ["--seeds", str(self.seed)]
        return " ".join([*words, *(f"--config.{key}={value}" for key, value in self.extra.items())])

    def path(self, results: Path) -> Path:
        """Of its JSON file."""
        return results / self.experiment.name / f"{self.name}.json"

    def trained_as(self) -> "Row":
        """The first row with the same configuration: one training serves all that share it, itself at the latest."""
        mine = self.config()
        for experiment in EXPERIMENTS:
            for variant in experiment.variants:
                other = Row(experiment, variant, self.seed, self.extra)
                if variant.policy == "network" and _config_or_none(other) == mine:
                    return other
        raise AssertionError("unreachable")


def rows(
    experiment: Experiment, seeds: Sequence[int] | None = None, only: Sequence[str] = (), extra: Changes | None = None
) -> list[Row]:
    """The rows of an experiment, seed by seed, so that every variant has a result early.

    Args:
      experiment: which.
      seeds: of the trainings; None for the experiment's own.
      only: names of variants, or of a factor ("n_step" for all its levels); empty for all.
      extra: changes to every configuration.

    Raises:
      InputError: `only` names no variant of the experiment.
    """
    named = {name for v in experiment.variants for name in (v.name, factor(v.name)) if name}
    if unknown := sorted(set(only) - named):
        raise InputError(f"{experiment.name} has no variant {unknown[0]!r}: choose from {', '.join(sorted(named))}.")
    chosen = [v for v in experiment.variants if not only or {v.name, factor(v.name)} & set(only)]
    found = [Row(experiment, v, None, extra or {}) for v in chosen if v.policy != "network"]
    for seed in experiment.seeds if seeds is None else seeds:
        found += [Row(experiment, v, seed, extra or {}) for v in chosen if v.policy == "network"]
    return found


def factor(variant: str) -> str | None:
    """What a variant varies: "n_step" of "n_step=3"; None where it is no level of a factor."""
    name, separator, _ = variant.partition("=")
    return name if separator else None


def changes_of(arguments: Sequence[str]) -> dict[str, Any]:
    """Changes of "--config.KEY=VALUE" arguments. Raises ConfigError for any other, or an unknown key."""
    rest, changes = split_options(arguments)
    if rest:
        raise ConfigError(f"Unknown argument {rest[0]!r}: config keys are set as --config.KEY=VALUE.")
    return typed(changes, keys_of({}))


def _config_or_none(row: Row) -> dict[str, Any] | None:
    try:
        return row.config()
    except ConfigError:
        return None
