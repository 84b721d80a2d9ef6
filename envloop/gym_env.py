"""Gymnasium's environments as the learner wants to see them: grey frames in a stack, one vector, actions in [-1, 1]."""

import os
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import (
    FrameStackObservation,
    GrayscaleObservation,
    RescaleAction,
    ResizeObservation,
    TransformObservation,
)

from envloop.config import GymEnvConfig
from envloop.description import EnvDescription
from envloop.errors import TaskError

_DECISION_S = 0.05  # of an environment that does not say at how many frames a second it is watched


def make_gym_env(config: GymEnvConfig, render_mode: str | None = None) -> gym.Env:
    """The environment `config.id`, wrapped.

    Pictures become `config.frame_stack` grey frames of `config.frame_size` pixels squared, uint8, oldest first; numbers
    become one float32 vector; both together are a Dict of "image" and "vector".

    Raises:
      TaskError: there is no such environment, it cannot be made, or its spaces are none that TD3 can learn with.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame draws for a video, not for a screen
    try:
        env = gym.make(config.id, render_mode=render_mode)
    except (gym.error.Error, ImportError) as error:  # an unknown id, or a package that it needs
        raise TaskError(f"env.id {config.id!r} cannot be made: {error}") from error
    if not (isinstance(env.action_space, spaces.Box) and len(env.action_space.shape) == 1):
        raise TaskError(f"env.id {config.id!r} acts in {env.action_space}: TD3 needs a Box of one dimension.")
    if not (np.isfinite(env.action_space.low).all() and np.isfinite(env.action_space.high).all()):
        raise TaskError(f"env.id {config.id!r} acts in {env.action_space}: every action needs a finite least and most.")
    if not (np.all(env.action_space.low == -1.0) and np.all(env.action_space.high == 1.0)):
        env = RescaleAction(env, np.float32(-1.0), np.float32(1.0))
    return _Described(_observed(env, config), config)


class _Described(gym.Wrapper):
    """Says what is learned."""

    def __init__(self, env: gym.Env, config: GymEnvConfig) -> None:
        super().__init__(env)
        fps = env.metadata.get("render_fps")
        self.description = EnvDescription(
            task=config.id,
            action_names=tuple(f"action_{i}" for i in range(int(np.prod(env.action_space.shape or (1,))))),
            decision_s=1.0 / fps if fps else _DECISION_S,
        )


class _ImageAndVector(gym.ObservationWrapper):
    """A Dict of one picture and some numbers as {"image", "vector"}."""

    def __init__(self, env: gym.Env, image: str, numbers: list[str]) -> None:
        super().__init__(env)
        self._image, self._numbers = image, numbers
        assert isinstance(env.observation_space, spaces.Dict)
        parts = env.observation_space.spaces
        length = sum(int(np.prod(parts[name].shape or ())) for name in numbers)
        self.observation_space = spaces.Dict(
            {"image": parts[image], "vector": spaces.Box(-np.inf, np.inf, (length,), np.float32)}
        )

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        numbers = [np.asarray(observation[name], np.float32).ravel() for name in self._numbers]
        return {"image": observation[self._image], "vector": np.concatenate(numbers)}


class _OfImage(gym.Wrapper):
    """The picture of a Dict alone, so that Gymnasium's wrappers for pictures fit; `numbers` keeps the rest."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, spaces.Dict)
        self.observation_space = env.observation_space["image"]
        self.numbers: Any = None

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**kwargs)
        self.numbers = observation["vector"]
        return observation["image"], info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.numbers = observation["vector"]
        return observation["image"], reward, terminated, truncated, info


class _WithNumbers(gym.ObservationWrapper):
    """Puts the stack of frames back beside the numbers."""

    def __init__(self, env: gym.Env, source: _OfImage) -> None:
        super().__init__(env)
        assert isinstance(source.env.observation_space, spaces.Dict)
        self._source = source
        self.observation_space = spaces.Dict(
            {"image": env.observation_space, "vector": source.env.observation_space["vector"]}
        )

    def observation(self, observation: Any) -> dict[str, Any]:
        return {"image": observation, "vector": self._source.numbers}


def _observed(env: gym.Env, config: GymEnvConfig) -> gym.Env:
    space = env.observation_space
    if isinstance(space, spaces.Dict):
        images = [name for name, part in space.spaces.items() if _is_picture(part)]
        numbers = [name for name, part in space.spaces.items() if _is_numbers(part)]
        if len(images) + len(numbers) < len(space.spaces) or len(images) > 1:
            raise TaskError(
                f"env.id {config.id!r} observes {space}: give one picture and vectors at most, wrapped before it is "
                "registered."
            )
        if images and numbers:
            source = _OfImage(_ImageAndVector(env, images[0], numbers))
            return _WithNumbers(_stacked(source, config), source)
        if images:
            only = images[0]
            return _stacked(TransformObservation(env, lambda o: o[only], space[only]), config)
        env = gym.wrappers.FlattenObservation(env)
        space = env.observation_space
    if _is_picture(space):
        return _stacked(env, config)
    if _is_numbers(space):
        low, high = np.float32(space.low), np.float32(space.high)  # type: ignore[attr-defined]
        flat = spaces.Box(low.ravel(), high.ravel(), dtype=np.float32)
        return TransformObservation(env, lambda o: np.asarray(o, np.float32).ravel(), flat)
    raise TaskError(
        f"env.id {config.id!r} observes {space}: TD3 learns from a picture (uint8 [H, W], [H, W, 1] or [H, W, 3]), "
        "from a vector of one dimension, or from a Dict of both; wrap the environment before it is registered."
    )


def _stacked(env: gym.Env, config: GymEnvConfig) -> gym.Env:
    """Grey frames [S, H, W] of pictures [H, W] or [H, W, 1 or 3]."""
    shape = env.observation_space.shape or ()
    env = TransformObservation(env, partial(_of_bytes, config.id), env.observation_space)
    if len(shape) == 3 and shape[2] == 3:
        env = GrayscaleObservation(env)
    elif len(shape) == 3:
        plane = spaces.Box(0, 255, shape[:2], np.uint8)
        env = TransformObservation(env, lambda o: o[..., 0], plane)
    if env.observation_space.shape != (config.frame_size, config.frame_size):
        env = ResizeObservation(env, (config.frame_size, config.frame_size))
    return FrameStackObservation(env, config.frame_stack, padding_type="reset")


def _of_bytes(name: str, picture: Any) -> Any:
    """A picture as it is; TaskError where it is not what its space says: what follows would cast it in silence."""
    kind = getattr(picture, "dtype", type(picture).__name__)
    if kind != np.uint8:
        raise TaskError(f"env.id {name!r} shows pictures of {kind}, and its space says uint8: give 0 to 255 as uint8.")
    return picture


def _is_picture(space: spaces.Space) -> bool:
    shape = space.shape or ()
    return (
        isinstance(space, spaces.Box)
        and space.dtype == np.uint8
        and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)))
    )


def _is_numbers(space: spaces.Space) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) <= 1
