"""The experiments: what is trained, how long, with which seeds, and what the outcome is measured on.

Every setting that an experiment does not name is what its configuration file says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from avtd3_jax.errors import InputError
from avtd3_jax.settings.run_config import RunConfig
from envloop.task.scenario import DENSITIES, MIXED_SCENARIOS

EVALUATION_SEED = 1000  # of every final evaluation: all policies drive the same episodes among the same traffic

_DEFAULT = RunConfig()
# 3-step returns became the default when the ablations had shown that they learn route 0 sooner. What had been trained
# with 1-step returns by then is made again with 1-step returns.
_BEFORE_3_STEPS = {"replay.n_step": 1}
# Likewise for when a car that stood further than this behind another was not yet held to be waiting.
_BEFORE_LONG_QUEUES = {"env.reward.wait_gap_m": 8.0}
# Likewise for when updates were in float32 on every processor.
_BEFORE_BFLOAT16 = {"agent.compute_dtype": "float32"}
Changes = Mapping[str, Any]  # dotted config key -> value
Figure = Literal["curves", "clock", "success", "tracks"]  # clock: curves over wall time


@dataclass(frozen=True)
class Task:
    """What a policy is measured on: arguments of `avtd3_jax.evaluate`, and how many episodes (of each route)."""

    name: str
    arguments: tuple[str, ...]
    episodes: int


@dataclass(frozen=True)
class Variant:
    """A policy of an experiment: "network" is trained with `changes`, the others need no training."""

    name: str
    changes: Changes = field(default_factory=dict)
    policy: Literal["network", "expert", "follower", "blind-follower", "random"] = "network"


@dataclass(frozen=True)
class Experiment:
    """A question, and what answers it.

    Attributes:
      name: of its folder of results.
      config: name of the configuration file in configs/ that its rows change.
      question: heads its tables.
      changes: config keys that all of its trainings set.
      seeds: of the trainings; a policy that needs none has one row.
      every_metric: whether the tables show all metrics, or the chief ones.
    """

    name: str
    question: str
    variants: tuple[Variant, ...]
    tasks: tuple[Task, ...]
    seeds: tuple[int, ...]
    changes: Changes = field(default_factory=dict)
    config: str = "town01"
    figures: tuple[Figure, ...] = ("curves", "success", "tracks")
    every_metric: bool = False


def _schedule(steps: int, every: int, episodes: int = 5) -> dict[str, Any]:
    return {"total_steps": steps, "eval_every": every, "eval_episodes": episodes}


def _route_0(scenario: str) -> Task:
    return Task(f"route 0, {_traffic(scenario)}", ("--route", "town01-0", "--scenario", scenario), episodes=20)


def _suite(name: str, scenario: str, *changes: str) -> Task:
    arguments = ("--suite", name, "--scenario", scenario, *(f"--config.{change}" for change in changes))
    told = [change.removeprefix("env.").replace("=", " ") for change in changes]
    return Task(", ".join([name, _traffic(scenario), *told]), arguments, episodes=1)


def _traffic(scenario: str) -> str:
    density = DENSITIES[scenario]
    walkers = f" and {density.walkers} walkers" if density.walkers else ""
    return f"{density.vehicles} vehicles{walkers}" if density.vehicles else "empty"


def _levels(key: str, label: str, *levels: Any) -> tuple[Variant, ...]:
    """One variant per value of one config key."""
    return tuple(Variant(f"{label}={level}", {key: level}) for level in levels)


def _action_repeats(*levels: int) -> tuple[Variant, ...]:
    """Decisions of other lengths that look equally many seconds ahead: gamma is per decision, so it goes along."""
    return tuple(
        Variant(
            f"action_repeat={ticks}",
            {
                "env.action_repeat": ticks,
                "agent.gamma": _DEFAULT.agent.gamma ** (ticks / _DEFAULT.driving.action_repeat),
            },
        )
        for ticks in levels
    )


_TD3 = Variant("td3")
# DDPG (Lillicrap et al. 2016) is TD3 without its three additions (Fujimoto et al. 2018, section 6.1), same networks.
_DDPG = Variant("ddpg", {"agent.num_critics": 1, "agent.target_noise": 0.0, "agent.policy_delay": 1})
_EXPERT = Variant("expert", policy="expert")
_PID, _RANDOM = Variant("pid", policy="follower"), Variant("random", policy="random")
_UNTRAINED = (_PID, _RANDOM)
# PID and pure pursuit know of no other vehicle; `pid` is told the true gap to the one ahead besides.
_UNTRAINED_IN_TRAFFIC = (Variant("pid-blind", policy="blind-follower"), _PID, _RANDOM)


def _falling_rates(steps: int) -> Changes:
    """Learning rates that fall over five sixths of the run: at constant ones a bend is unlearned now and then."""
    return {"agent.lr_decay_updates": steps * 5 // 6}


# Learned among 50 vehicles, where a queue is met more often than among the 20 of the evaluation, and mostly from the
# route's start: who begins further on is at the lights before the queue is.
_TRAFFIC = {
    **_BEFORE_BFLOAT16,
    **_schedule(50_000, every=5_000),
    **_falling_rates(50_000),
    "scenario": "1",
    "env.random_start_fraction": 0.4,
}
_NAVIGATION = {
    **_BEFORE_3_STEPS,
    **_BEFORE_LONG_QUEUES,
    **_BEFORE_BFLOAT16,
    **_schedule(60_000, every=10_000, episodes=10),
    **_falling_rates(60_000),
    "env.route": "random",
}

_SUITES = ("town01-nav", "grid-nav", "rings-nav")


def _of_the_driver(
    name: str, question: str, variants: tuple[Variant, ...], tasks: tuple[Task, ...], figures: tuple[Figure, ...]
) -> Experiment:
    """Trainings of configs/town01_drive.py; evaluations on the way do not change what is learned."""
    return Experiment(
        name=name,
        question=question,
        variants=variants,
        tasks=tasks,
        seeds=(0, 1, 2),
        changes={"eval_every": 30_000, "eval_episodes": 10},
        config="town01_drive",
        figures=figures,
        every_metric=True,
    )


EXPERIMENTS = (
    Experiment(
        name="route-0",
        question="Does it learn to drive route 0 of the empty town, how soon, and with every seed?",
        variants=(_TD3, *_UNTRAINED),
        tasks=(_route_0("empty"),),
        seeds=(0, 1, 2, 3, 4),
        changes={**_BEFORE_BFLOAT16, **_schedule(10_000, every=1_000)},
    ),
    Experiment(
        name="precision",
        question="Does an update in bfloat16 learn route 0 as one in float32 does, in steps and by the clock? Both "
        "trainings of a seed run at the same time.",
        variants=_levels("agent.compute_dtype", "compute_dtype", "float32", "bfloat16"),
        tasks=(_route_0("empty"),),
        seeds=(0, 1, 2, 3, 4),
        changes=_schedule(10_000, every=1_000),
        figures=("curves", "clock"),
    ),
    Experiment(
        name="traffic",
        question="Does it learn to drive route 0 among 20 other vehicles, and better than PID with pure pursuit?",
        variants=(_TD3, *_UNTRAINED_IN_TRAFFIC),
        tasks=(_route_0("0"),),
        seeds=(0, 1, 2),
        changes=_TRAFFIC,
    ),
    Experiment(
        name="traffic-soon",
        question="The same drawn to a scripted expert: how soon?",
        variants=(_TD3,),
        tasks=(_route_0("0"),),
        seeds=(0, 1, 2),
        changes={"eval_every": 2_000, "eval_episodes": 5},
        config="town01_traffic",
        figures=("curves", "clock"),
    ),
    Experiment(
        name="navigation",
        question="Trained on random routes, does it drive routes of Town01 that it was not trained on?",
        variants=(_TD3, *_UNTRAINED),
        tasks=(_suite("town01-nav", "empty"), _suite("town01-nav", "0")),
        seeds=(0,),
        changes=_NAVIGATION,
    ),
    Experiment(
        name="new-town",
        question="Does the same policy drive in a generated town that it has never seen?",
        variants=(_TD3, *_UNTRAINED),
        tasks=(_suite("grid-nav", "empty"), _suite("grid-nav", "0")),
        seeds=(0,),
        changes=_NAVIGATION,
        figures=("success", "tracks"),
    ),
    Experiment(
        name="comparison",
        question="TD3, DDPG with the same networks, PID with pure pursuit, and chance, among 20, 50 and 100 vehicles",
        variants=(_TD3, _DDPG, *_UNTRAINED_IN_TRAFFIC),
        tasks=(_route_0("0"), _route_0("1"), _route_0("2")),
        seeds=(0, 1, 2),
        changes={**_BEFORE_3_STEPS, **_TRAFFIC},
        every_metric=True,
    ),
    _of_the_driver(
        name="drive",
        question="Trained in mixed traffic and weather, does one policy drive any route by the rules, empty or "
        "crowded, in its town and in others? Beside a driver that the simulator tells everything, and one that is told "
        "the gap alone",
        variants=(_TD3, _EXPERT, _PID),
        tasks=tuple(_suite(name, density) for name in _SUITES for density in MIXED_SCENARIOS),
        figures=("curves", "success", "tracks"),
    ),
    _of_the_driver(
        name="drive-comparison",
        question="The same against DDPG with the same everything, and against who sees no others",
        variants=(_TD3, _DDPG, *_UNTRAINED_IN_TRAFFIC),
        tasks=(
            *(_suite("town01-nav", density) for density in MIXED_SCENARIOS),
            *(_route_0(density) for density in ("0", "1", "2")),
        ),
        figures=("curves", "success"),
    ),
    _of_the_driver(
        name="drive-camera",
        question="What is the camera worth? The same trained without it, with no more than the picture and a "
        "navigator's command, and given a grey picture or weathers that it was not trained in",
        variants=(
            _TD3,
            Variant("vector", {"env.observation": "vector", "agent.random_shift": 0}),
            Variant("command", {"env.vector.guidance": "command"}),
        ),
        tasks=(
            _suite("town01-nav", "regular"),
            _suite("town01-nav", "regular", "env.picture=blank"),
            _suite("town01-nav", "regular", "env.weather=WetSunset,SoftRainSunset"),
        ),
        figures=("curves", "success"),
    ),
    Experiment(
        name="ablations",
        question="Which of the choices matter on route 0? One factor at a time, the others as in the base, "
        "which is the default but for its 1-step returns: "
        f"encoder_grad={_DEFAULT.agent.encoder_grad}, a narrow trunk of {_DEFAULT.agent.trunk_width}, "
        f"observation={_DEFAULT.driving.observation}, random_shift={_DEFAULT.agent.random_shift}, "
        f"n_step={_BEFORE_3_STEPS['replay.n_step']}, reward={_DEFAULT.driving.reward.kind}, "
        f"action_repeat={_DEFAULT.driving.action_repeat}, encoder_lr={_DEFAULT.agent.encoder_lr:g}",
        variants=(
            Variant("base"),
            *_levels("agent.encoder_grad", "encoder_grad", "both"),
            Variant("trunk=plain", {"agent.trunk_width": 0}),
            *_levels("env.observation", "observation", "image", "vector"),
            *_levels("agent.random_shift", "random_shift", 4),
            *_levels("replay.n_step", "n_step", 3),
            *_levels("env.reward.kind", "reward", "progress"),
            *_action_repeats(1, 4),
            *_levels("agent.encoder_lr", "encoder_lr", 5e-5, 1e-4, 3e-4),
        ),
        tasks=(_route_0("empty"),),
        seeds=(0, 1, 2),
        changes={**_BEFORE_3_STEPS, **_BEFORE_BFLOAT16, **_schedule(20_000, every=2_000)},
        figures=("curves", "success"),
    ),
)


def experiment(name: str) -> Experiment:
    """The experiment of that name. Raises InputError for any other."""
    for found in EXPERIMENTS:
        if found.name == name:
            return found
    raise InputError(f"There is no experiment {name!r}: choose one of {', '.join(e.name for e in EXPERIMENTS)}.")
