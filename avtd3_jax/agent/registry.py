"""The algorithms by name: another one of the family is a file beside td3.py and a line here."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from avtd3_jax.agent.config import TD3Config
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.errors import ConfigError

if TYPE_CHECKING:  # a configuration is read before JAX is imported
    from avtd3_jax.agent.interface import Agent
    from avtd3_jax.agent.placement import Placement


class Algorithm(NamedTuple):
    """What makes an agent, called as TD3 is, and the class of its configuration: TD3Config, or a child."""

    agent: Callable[..., Any]
    config: type[TD3Config]


def _td3(*args: Any) -> Any:
    from avtd3_jax.agent.td3 import TD3

    return TD3(*args)


ALGORITHMS = {"td3": Algorithm(_td3, TD3Config)}


def algorithm(name: str) -> Algorithm:
    """The algorithm of that name. Raises ConfigError for an unknown one."""
    if not isinstance(name, str) or name not in ALGORITHMS:
        raise ConfigError(f"config.algorithm is {name!r}: choose one of {', '.join(ALGORITHMS)}.")
    return ALGORITHMS[name]


def make_agent(
    name: str,
    obs_spec: ObsSpec,
    action_spec: ActionSpec,
    config: TD3Config,
    placement: "Placement | None" = None,
) -> "Agent":
    """The agent of algorithm `name`. Raises ConfigError or InputError where `config` does not fit."""
    agent: Agent = algorithm(name).agent(obs_spec, action_spec, config, placement)
    return agent
