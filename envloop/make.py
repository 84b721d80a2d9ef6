"""From a configuration to an environment: the driving task, or any of Gymnasium's as the learner wants to see it."""

from typing import Any, cast

import gymnasium as gym
from gymnasium import spaces

from envloop.config import EnvConfig, GymEnvConfig
from envloop.description import EnvDescription
from envloop.errors import TaskError

AnyEnvConfig = EnvConfig | GymEnvConfig


def make_env(config: AnyEnvConfig, render: bool = False) -> gym.Env:
    """The environment of `config`; with `render` its `render` gives pictures, uint8 RGB [H, W, 3].

    Raises:
      TaskError: the configuration is wrong, or the environment cannot be learned from.
      SimulatorError: the simulator cannot be used.
    """
    mode = "rgb_array" if render else None
    if isinstance(config, EnvConfig):
        from envloop.env import CarlaEnv  # imports carla, which no other environment needs

        if not config.expert:
            return CarlaEnv(config, render_mode=mode)
        from envloop.baselines.labels import ExpertLabels, check_driver

        check_driver(config.expert)
        return ExpertLabels(CarlaEnv(config, render_mode=mode), config.expert)
    from envloop.gym_env import make_gym_env

    return make_gym_env(config, mode)


def spaces_of(config: AnyEnvConfig) -> tuple[spaces.Space, spaces.Space]:
    """Observation and action space of the environment of `config`; a simulator is not started for it."""
    if isinstance(config, EnvConfig):
        from envloop.baselines.labels import labelled
        from envloop.spaces import action_space, observation_space

        observations = observation_space(config)
        return labelled(observations) if config.expert else observations, action_space()
    env = make_env(config)
    try:
        return env.observation_space, env.action_space
    finally:
        env.close()


def describe(env: gym.Env) -> EnvDescription:
    """What `env` says of itself. Raises TaskError for an environment that says nothing."""
    try:
        return cast(EnvDescription, env.get_wrapper_attr("description"))
    except AttributeError:
        raise TaskError(f"{env} has no description: make it with envloop.make.make_env.") from None


def simulator_of(description: EnvDescription) -> dict[str, Any]:
    """The simulator's identity for a file of results; Gymnasium's environments are their own simulator."""
    return dict(description.simulator) or {"simulator": "gymnasium", "host": "", "map": description.task}
