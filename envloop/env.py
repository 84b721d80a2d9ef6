"""CarlaEnv: the driving task as a Gymnasium environment, on any simulator that speaks CARLA 0.9.16."""

import atexit
import contextlib
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envloop.client.conditions import Conditions
from envloop.client.ego import EgoVehicle, start_pose
from envloop.client.route_choice import RouteSelector
from envloop.client.simulator import Simulator, weather_preset
from envloop.client.traffic import Npc, Traffic
from envloop.config import EnvConfig
from envloop.description import EnvDescription
from envloop.errors import SimulatorError, TaskError
from envloop.spaces import Observation, action_space, observation_space
from envloop.spectator import PICTURE, Ego, Moment, Spectator
from envloop.surroundings import Surroundings
from envloop.task.episode import AT_REST, Episode, InitialState, Measurements, RouteTask, ego_info, sample_initial_state
from envloop.task.lane_invasion import BoundingBox
from envloop.task.observation import FrameStack, vector_observation
from envloop.task.pictures import PICTURES
from envloop.task.right_of_way import Outlook
from envloop.task.road_scene import RoadScene
from envloop.task.scenario import RANDOM, weather_names

STARTS = ("beginning", "random")

T = TypeVar("T")

# Keys of `info`; see `CarlaEnv.description`. Gymnasium and Stable-Baselines3 have "episode" for themselves.
_REWARD_TERMS, _EPISODE_METRICS, _SPEED, _POSE = "reward_terms", "episode_metrics", "speed_mps", "ego"


@dataclass(frozen=True)
class _Scene:
    """What this environment has made in one connection to the simulator."""

    generation: int
    routes: RouteSelector
    ego: EgoVehicle
    traffic: Traffic
    conditions: Conditions
    surroundings: Surroundings
    spectator: Spectator


_NOT_CLOSED: "weakref.WeakSet[CarlaEnv]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """The client's sensors, left to the interpreter's end, can abort the process."""
    for env in list(_NOT_CLOSED):
        env.close()


class CarlaEnv(gym.Env):
    """One ego car on one route of one simulator.

    Observation: {"image": uint8 [4, 84, 84] oldest first, "vector": float32 [3 + 2 * points]}, or one of the two; with
    `privileged` also "privileged": float32 [9] (`task.affordances`), [30] with `columns` (`task.columns`).
    Action: float32 [2] in [-1, 1]: steer, then throttle (> 0) or brake (<= 0).
    The picture is always that of the tick just made. An episode is a pure function of `reset`'s seed and options, which
    may hold {"start": "beginning" | "random", "route": a route to drive instead of the config's, "record": True}.
    `route_task` is that of the last reset's route.

    Args:
      config: the defaults of record when left out.
      simulator: a Simulator for this environment alone, whose config replaces `config.simulator`; one is made when
        left out.
      render_mode: None or "rgb_array" (`render` gives the last camera picture, whatever is observed).
      route, scenario: replace the config's values.
      town, xodr, endpoint: replace those of `config.simulator`; a town also replaces the config's `xodr`.

    `info` has "reward_terms", "reason", "route_completion", "speed_mps" and "ego" after every reset and step, and
    "episode_metrics" after an episode's last step. With "record" the reset's has "lanes", the roads' outlines, and the
    last step's of a failed episode has "clip", its last seconds; see `envloop.spectator`.

    Raises:
      TaskError: the config is wrong, or the map has no such route.
      SimulatorError: the simulator cannot be used, or was lost. The next `reset` brings it back.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self,
        config: EnvConfig | None = None,
        simulator: Simulator | None = None,
        render_mode: str | None = None,
        *,
        route: str | None = None,
        scenario: str | None = None,
        town: str | None = None,
        xodr: str | None = None,
        endpoint: str | None = None,
    ) -> None:
        self.config = _changed(config or EnvConfig(), simulator, route, scenario, town, xodr, endpoint)
        self.config.validate()
        for name in weather_names(self.config.weather):
            weather_preset(name)
        self.metadata = {**self.metadata, "render_fps": 1.0 / self.config.decision_s}
        self.render_mode = render_mode
        self.observation_space = observation_space(self.config)
        self.action_space = action_space()
        self._owns_simulator = simulator is None
        self.simulator = simulator or Simulator(self.config.simulator)
        self.simulator.acquire()
        self.frame = -1  # of the simulator's tick that the last observation shows
        self._lost = False
        self._scene: _Scene | None = None
        self._episode: Episode | None = None
        self._conditions: dict[str, Any] = {}  # of the episode, among its metrics
        self._action = (0.0, 0.0)  # of the last decision
        self._stack = FrameStack()
        self._picture: NDArray[np.uint8] | None = None
        self._light = ""
        self.route_task: RouteTask
        self.description: EnvDescription
        _NOT_CLOSED.add(self)
        try:
            self._guarded(self._ensure_scene)
        except BaseException:
            self.close()
            raise

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begins an episode; see the class for `options`. Without a seed the next one is drawn from `np_random`."""
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(2**31))
        options = self._checked_options(options or {})
        if self._lost:
            self.recover()
        observation, info = self._guarded(self._begin, seed, options)
        record = bool(options.get("record", False))
        info |= self.spectator.begin(self.route_task.route.points, self._moment(), record)
        return observation, info

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Drives `action_repeat` ticks, fewer where the episode ends.

        Raises:
          TaskError: the action is not two finite numbers.
          SimulatorError: the simulator was lost; this transition does not exist.
        """
        steer, accel = _checked_action(action)
        episode = self._running_episode()
        episode.begin_decision(abs(steer - self._action[0]) + abs(accel - self._action[1]))
        self._action = steer, accel
        self._guarded(self._decide, episode, steer, accel)
        terms = episode.end_decision()
        observation = self._observation(self._stack.push)
        info = self._info(terms)
        outcome = episode.outcome
        if outcome.ended:
            info[_EPISODE_METRICS] = {**episode.result(), **self._conditions}
        reward = sum(terms.values())
        failed = outcome.ended and not info[_EPISODE_METRICS]["success"]
        moment = self._moment(steer, accel, reward)
        info |= self.spectator.see(moment, ended=outcome.ended, failed=failed)
        return observation, reward, outcome.terminated, outcome.truncated, info

    def render(self) -> NDArray[np.uint8] | None:
        """[H, W, 3] RGB: the camera picture of the last tick."""
        if self.render_mode != "rgb_array" or self._picture is None:
            return None
        return np.ascontiguousarray(self._picture[:, :, 2::-1])

    def recover(self) -> None:
        """Restarts (embedded) or reconnects to (external) a lost simulator; SimulatorError when it stays away."""
        self._abandon_scene()
        self.simulator.restart()
        self._lost = False

    def close(self) -> None:
        """Removes car and traffic, puts an external simulator back to how it was found. May be called twice."""
        _NOT_CLOSED.discard(self)
        if self._scene is not None and not self._lost and self.simulator.healthy():
            self._ego.close()
            with contextlib.suppress(SimulatorError):
                self._traffic.clear()
                self.simulator.tick()
        self._abandon_scene()
        self.simulator.release()
        if self._owns_simulator:
            self.simulator.close()

    @property
    def task(self) -> str:
        """What is driven, for people."""
        return self.description.task

    @property
    def episode(self) -> Episode:
        """The running or last episode: ego state, projection, lead, outcome."""
        if self._episode is None:
            raise gym.error.ResetNeeded("Call reset() before step().")
        return self._episode

    def road_scene(self) -> RoadScene:
        """What is around the ego and on its route in the last snapshot, as the simulator knows it."""
        return self._surroundings.scene(self.episode, self.episode.ego)

    def outlook(self) -> Outlook:
        """What is ahead of the ego in the last snapshot, as the simulator knows it."""
        return self._surroundings.outlook(self.episode, self.episode.ego)

    @property
    def npcs(self) -> list[Npc]:
        """NPC vehicles of this episode."""
        return [] if self._scene is None else self._traffic.vehicles

    @property
    def spectator(self) -> Spectator:
        """Who shows the drive to people."""
        assert self._scene is not None
        return self._scene.spectator

    def _checked_options(self, options: dict[str, Any]) -> dict[str, Any]:
        if set(options) - {"start", "route", "record"} or options.get("start") not in (None, *STARTS):
            raise TaskError(
                f"reset() got options {options!r}; there are 'start': one of {', '.join(STARTS)}, 'route', and "
                "'record': True or False."
            )
        if "route" in options:
            self.config.check_route(options["route"])
        return options

    def _initial_state(self, seed: int, start: str | None) -> InitialState:
        config = self.config
        fraction = {"beginning": 0.0, "random": 1.0}.get(start or "", config.random_start_fraction)
        return sample_initial_state(
            seed,
            self.route_task,
            config.termination.goal_m,
            config.start_noise,
            random_fraction=fraction,
            bend_fraction=config.bend_start_fraction,
        )

    def _guarded(self, work: Callable[..., T], *arguments: Any) -> T:
        """Does `work` on the simulator; when that is lost, the next `reset` will bring it back.

        The SimulatorError that leaves here has no frames of `work`: they would keep the lost client, its threads and
        its sockets alive for as long as somebody holds the error. Any other error is a mistake in our own code and
        leaves as it is.
        """
        try:
            return work(*arguments)
        except SimulatorError as error:
            self._lost = True
            text = str(error)
        raise SimulatorError(text)

    def _begin(self, seed: int, options: dict[str, Any]) -> tuple[Observation, dict[str, Any]]:
        scene = self._ensure_scene()
        self.route_task = scene.routes.of(options.get("route", self.config.route), seed)
        start = self._initial_state(seed, options.get("start"))
        return self._observe_first(self._place_vehicles(seed, start), start)

    def _decide(self, episode: Episode, steer: float, accel: float) -> None:
        self._drive(steer, accel)
        for _ in range(self.config.action_repeat):
            self._tick(episode)
            if episode.outcome.ended:
                break

    def _ensure_scene(self) -> _Scene:
        """Makes route, car, sensors and traffic for a new connection."""
        self.simulator.start()
        if self._scene is not None and self._scene.generation == self.simulator.generation:
            return self._scene
        routes = RouteSelector(self.config, self.simulator.map)
        self.route_task = routes.of(self.config.route, seed=0)
        self.simulator.lock_world()  # another environment may have come since the connection was made
        watched = self._observes("image") or self.render_mode is not None
        pose = start_pose(self.route_task.route, AT_REST)
        ego = EgoVehicle(self.simulator, self.config.camera if watched else None, pose)
        traffic = Traffic(self.simulator)
        watched_ego = Ego(ego.vehicle.id, ego.half_length_m, ego.half_width_m)
        self._scene = _Scene(
            generation=self.simulator.generation,
            routes=routes,
            ego=ego,
            traffic=traffic,
            conditions=Conditions(self.config, self.simulator, traffic),
            surroundings=Surroundings(self.config, self.simulator, ego, traffic),
            spectator=Spectator(self.simulator, watched_ego, self.config.decision_s, self.config.pictures_per_s),
        )
        self.description = self._describe()
        return self._scene

    def _describe(self) -> EnvDescription:
        if self.config.route == RANDOM:
            lengths = self.config.random_route
            task = f"random routes of {lengths.min_m:g} to {lengths.max_m:g} m"
        else:
            task = f"route {self.config.route} ({self.route_task.route.length:.0f} m)"
        return EnvDescription(
            task=task,
            action_names=("steer", "accel"),
            simulator=self.simulator.identity(),
            decision_s=self.config.decision_s,
            reward_terms_key=_REWARD_TERMS,
            episode_metrics_key=_EPISODE_METRICS,
            speed_key=_SPEED,
            pose_key=_POSE,
            picture_key=PICTURE,
        )

    def _place_vehicles(self, seed: int, start: InitialState) -> int:
        """Empties the road, puts the car and the NPCs in place; the frame of the first observation."""
        pose = start_pose(self.route_task.route, start)
        self._traffic.clear()
        self._ego.place(pose)
        self.simulator.reset_traffic_lights()
        self.simulator.tick()
        self._ego.release()
        ego, route = (pose.location.x, pose.location.y), self.route_task.route
        self._conditions = self._ensure_scene().conditions.make(seed, ego, route)
        for _ in range(self.config.settle_ticks - 1):
            self.simulator.tick()
        if start.speed_mps > 0.0:
            self._ego.launch(pose, start.speed_mps)
        frame = self.simulator.tick()
        self._traffic.look_up()
        self._surroundings.begin(self.route_task)
        return frame

    def _observe_first(self, frame: int, start: InitialState) -> tuple[Observation, dict[str, Any]]:
        self.frame = frame
        self._picture = self._ego.end_tick(frame)
        self._light = ""
        self._ego.collisions(frame)  # what the teleport touched belongs to no episode
        box = BoundingBox(self._ego.half_length_m, self._ego.half_width_m)
        signs = self._surroundings.stop_signs
        self._episode = Episode(self.config, self.route_task, box, start, self._ego.state(), signs)
        self._action = (0.0, 0.0)
        return self._observation(self._stack.reset), self._info({})

    def _drive(self, steer: float, accel: float) -> None:
        throttle, brake = (accel, 0.0) if accel > 0.0 else (0.0, -accel)
        if not self._traffic.control(self._ego.vehicle.id, steer, throttle, brake):
            self._ego.control(steer, throttle, brake)

    def _tick(self, episode: Episode) -> None:
        frame = self.simulator.tick()
        self.frame = frame
        # Awaited in every tick, looked at or not: with it all events of the tick have arrived.
        self._picture = self._ego.end_tick(frame)
        episode.tick(self._measure(frame, episode))

    def _measure(self, frame: int, episode: Episode) -> Measurements:
        car = self._ego
        ego = car.state()
        self._light = car.light()
        off_lane = self.route_task.is_off_lane(episode.projection)
        lead = self._surroundings.lead(episode, ego)
        held, person = self._surroundings.held_up(episode, ego, lead)
        return Measurements(
            ego=ego,
            collisions=car.collisions(frame),
            lead=lead,
            off_road=off_lane and car.off_road(self.simulator.map),
            at_light=bool(self._light),
            at_red=self._light == "red",
            held=held,
            person=person,
        )

    def _observes(self, part: str) -> bool:
        return self.config.observation in ("both", part)

    def _observation(self, stacked: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Observation:
        """What is observed of the tick just made, its frame put on the stack by `stacked`."""
        episode = self.episode
        observation: Observation = {}
        if self._observes("image"):
            assert self._picture is not None
            observation["image"] = stacked(PICTURES[self.config.picture](self._picture))
        if self._observes("vector"):
            route_task, config = self.route_task, self.config.vector
            observation["vector"] = vector_observation(
                episode.ego, episode.projection, route_task.route, config, self._action, route_task.turns
            )
        if self.config.privileged:
            observation["privileged"] = self._surroundings.privileged(episode)
        return observation

    def _info(self, terms: dict[str, float]) -> dict[str, Any]:
        return {
            _REWARD_TERMS: terms,
            "reason": self.episode.outcome.reason,
            "route_completion": self.episode.route_completion,
            _SPEED: self.episode.ego.speed_mps,
            _POSE: ego_info(self.episode),
        }

    def _moment(self, steer: float = 0.0, accel: float = 0.0, reward: float = 0.0) -> Moment:
        """The tick just made, for who watches."""
        ego = self.episode.ego
        pose = ego.x, ego.y, ego.yaw_deg
        return Moment(self._picture, pose, ego.speed_mps, steer, accel, self._light, reward)

    def _running_episode(self) -> Episode:
        if self._lost:
            raise SimulatorError("The simulator was lost; call reset() to bring it back and begin a new episode.")
        if self._episode is None or self._episode.outcome.ended:
            raise gym.error.ResetNeeded("The episode is over; call reset() before step().")
        return self._episode

    def _abandon_scene(self) -> None:
        """Lets go of everything that belongs to this connection, without a call to a server that may be dead."""
        if self._scene is not None:
            self._traffic.close()
            self._ego.abandon()
        self._scene = self._episode = self._picture = None

    @property
    def _ego(self) -> EgoVehicle:
        assert self._scene is not None
        return self._scene.ego

    @property
    def _traffic(self) -> Traffic:
        assert self._scene is not None
        return self._scene.traffic

    @property
    def _surroundings(self) -> Surroundings:
        assert self._scene is not None
        return self._scene.surroundings


def _changed(
    config: EnvConfig,
    simulator: Simulator | None,
    route: str | None,
    scenario: str | None,
    town: str | None,
    xodr: str | None,
    endpoint: str | None,
) -> EnvConfig:
    """`config` with the values that are given beside it."""
    driven: dict[str, Any] = _given(route=route, scenario=scenario)
    place: dict[str, Any] = _given(town=town, xodr=xodr, endpoint=endpoint)
    if simulator is not None and place:
        raise TaskError(f"A Simulator has its own {' and '.join(place)}; give that to its SimulatorConfig instead.")
    if simulator is not None:
        driven["simulator"] = simulator.config
    elif place:
        other_map = {"xodr": ""} if town is not None else {}
        driven["simulator"] = replace(config.simulator, **{**other_map, **place})
    return replace(config, **driven) if driven else config


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _checked_action(action: NDArray[np.float32]) -> tuple[float, float]:
    """Steer and accel, clipped to [-1, 1]."""
    if len(action) != 2 or not (math.isfinite(action[0]) and math.isfinite(action[1])):
        raise TaskError(f"An action is two finite numbers in [-1, 1] (steer, accel), not {action!r}.")
    return min(max(float(action[0]), -1.0), 1.0), min(max(float(action[1]), -1.0), 1.0)
