"""What a simulator and an environment can be told: frozen data; `validate()` says in one sentence what is wrong."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from envloop.task.observation import FRAME_SIZE, VectorConfig
from envloop.task.reward import RewardConfig, check_ordering
from envloop.task.route import SpeedRules
from envloop.task.scenario import RANDOM, npc_vehicles, route_ends
from envloop.task.termination import TerminationConfig

EMBEDDED = "embedded"


@dataclass(frozen=True)
class SimulatorConfig:
    """Which simulator, and how patient to be with it.

    Attributes:
      endpoint: "embedded" starts a minicarla of its own; "HOST:PORT" is the RPC port of a running server.
      town: map to drive on.
      xodr: path of an OpenDRIVE file to drive on instead of `town`; "" for none.
      fixed_delta_s: simulated seconds per tick.
      timeout_s: how long one call, one tick or one camera frame may take before the simulator counts as lost.
      start_timeout_s: how long a server may take to start or to load a map.
      restart_attempts: how often a lost simulator is started or called again before giving up.
      backoff_s, backoff_max_s: wait before the next attempt; doubles from the one up to the other.
      log_dir: folder for the embedded server's standard error; "" for the system's temporary folder.
    """

    endpoint: str = EMBEDDED
    town: str = "Town01"
    xodr: str = ""
    fixed_delta_s: float = 0.05
    timeout_s: float = 10.0
    start_timeout_s: float = 60.0
    restart_attempts: int = 8
    backoff_s: float = 1.0
    backoff_max_s: float = 60.0
    log_dir: str = ""

    def validate(self) -> None:
        """Raises ValueError with one plain sentence for the first thing that is wrong."""
        if self.endpoint != EMBEDDED:
            self.host_and_port()
        if not self.town and not self.xodr:
            raise ValueError("simulator.town is empty; name a town such as Town01, or give simulator.xodr.")
        if self.xodr and not Path(self.xodr).is_file():
            raise ValueError(f"simulator.xodr: there is no file {self.xodr!r}; give the path of an OpenDRIVE file.")
        if not 0.0 < self.fixed_delta_s <= 0.1:
            raise ValueError(
                f"simulator.fixed_delta_s is {self.fixed_delta_s}; CARLA's physics needs more than 0, at most 0.1."
            )
        for name in ("timeout_s", "start_timeout_s", "backoff_s", "backoff_max_s"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"simulator.{name} is {getattr(self, name)}; it must be positive.")
        if self.restart_attempts < 1:
            raise ValueError(f"simulator.restart_attempts is {self.restart_attempts}; it must be at least 1.")

    def host_and_port(self) -> tuple[str, int]:
        """Host and RPC port of an external endpoint. Raises ValueError where the text is no HOST:PORT."""
        host, separator, port = self.endpoint.rpartition(":")
        # CARLA streams sensors from the port above the RPC port, so the last port cannot be one.
        if not (separator and host and port.isdecimal() and 1 <= int(port) <= 65534):
            raise ValueError(
                f"simulator.endpoint is {self.endpoint!r}; write 'embedded', or HOST:PORT such as 127.0.0.1:2000."
            )
        return host, int(port)


@dataclass(frozen=True)
class CameraConfig:
    """The front camera: picture size in pixels, horizontal field of view, mounting point on the car in metres."""

    width: int = 256
    height: int = 144
    fov_deg: float = 90.0
    x: float = 1.6
    z: float = 1.5

    def validate(self) -> None:
        """Raises ValueError with one plain sentence for the first thing that is wrong."""
        if not (FRAME_SIZE <= self.width <= 4096 and FRAME_SIZE <= self.height <= 4096):
            raise ValueError(
                f"camera.width x height is {self.width}x{self.height}; each must be {FRAME_SIZE} to 4096 pixels."
            )
        if not 1.0 <= self.fov_deg <= 170.0:
            raise ValueError(f"camera.fov_deg is {self.fov_deg}; it must be 1 to 170 degrees.")


@dataclass(frozen=True)
class RandomRouteConfig:
    """Lengths of randomly drawn routes: uniform between `min_m` and `max_m`, metres."""

    min_m: float = 100.0
    max_m: float = 600.0

    def validate(self) -> None:
        """Raises ValueError with one plain sentence for the first thing that is wrong."""
        if not 20.0 <= self.min_m <= self.max_m:
            raise ValueError(
                f"random_route.min_m is {self.min_m:g} and max_m {self.max_m:g}; give at least 20, the smaller first."
            )


@dataclass(frozen=True)
class StartNoise:
    """How far an episode that starts at the beginning of its route is from the route's very first point.

    Uniform, from the episode's seed: up to `along_m` ahead, `lateral_m` and `heading_deg` to either side. On an empty
    road it is all that distinguishes two evaluation episodes of a policy without noise. The car begins within its lane,
    at rest. Zeros switch it off.
    """

    along_m: float = 5.0
    lateral_m: float = 0.3
    heading_deg: float = 3.0

    def validate(self) -> None:
        """Raises ValueError with one plain sentence for the first thing that is wrong."""
        for name, most in (("along_m", 20.0), ("lateral_m", 0.5), ("heading_deg", 10.0)):
            if not 0.0 <= getattr(self, name) <= most:
                raise ValueError(f"start_noise.{name} is {getattr(self, name)}; it must be 0 to {most:g}.")


@dataclass(frozen=True)
class EnvConfig:
    """One environment: where it drives, what it sees, what is rewarded, when an episode ends.

    Attributes:
      simulator: see SimulatorConfig.
      route: a name of `scenario.ROUTES`, a suite's route such as "town01-nav/0", "X,Y -> X,Y" in metres on the
        simulator's map, or "random": a route drawn from each episode's seed, none of a suite's (see suites).
      random_route: see the class; read where `route` is "random".
      scenario: "empty", "0", "1", "2" for 0, 20, 50, 100 NPC vehicles.
      observation: "both", or "image" or "vector" alone; without the image no camera is rendered.
      camera, vector, reward, termination, speed: see the classes.
      weather: name of a preset of `carla.WeatherParameters`.
      action_repeat: ticks per decision.
      random_start_fraction: share of episodes that begin anywhere on the route at any legal speed; the others, and
        every episode reset with options={"start": "beginning"}, begin at the route's start, at rest.
      bend_start_fraction: share of the random starts that lie in a bend or the run-up to one, where the route has any:
        a bend is a few metres of a route and most of its difficulty.
      start_noise: see the class.
      settle_ticks: ticks after a teleport before the first observation: the car falls 0.5 m on its wheels, which takes
        0.32 s, and should not bob in the first pictures.
      npc_clearance_m: no NPC is spawned nearer to the ego.
    """

    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    route: str = "town01-0"
    random_route: RandomRouteConfig = field(default_factory=RandomRouteConfig)
    scenario: str = "empty"
    observation: Literal["both", "image", "vector"] = "both"
    camera: CameraConfig = field(default_factory=CameraConfig)
    vector: VectorConfig = field(default_factory=VectorConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    termination: TerminationConfig = field(default_factory=TerminationConfig)
    speed: SpeedRules = field(default_factory=SpeedRules)
    weather: str = "ClearNoon"
    action_repeat: int = 1
    random_start_fraction: float = 0.7
    bend_start_fraction: float = 0.0
    start_noise: StartNoise = field(default_factory=StartNoise)
    settle_ticks: int = 8
    npc_clearance_m: float = 20.0

    @property
    def decision_s(self) -> float:
        """Simulated seconds per decision."""
        return self.simulator.fixed_delta_s * self.action_repeat

    def validate(self) -> None:
        """Raises ValueError with one plain sentence for the first thing that is wrong."""
        self.simulator.validate()
        self.camera.validate()
        self.random_route.validate()
        self.start_noise.validate()
        npc_vehicles(self.scenario)
        if self.observation not in ("both", "image", "vector"):
            raise ValueError(f"observation is {self.observation!r}; choose 'both', 'image' or 'vector'.")
        if self.route != RANDOM:
            self.check_route(self.route)
        if self.action_repeat < 1:
            raise ValueError(f"action_repeat is {self.action_repeat}; it must be at least 1.")
        if not 0.0 <= self.random_start_fraction <= 1.0:
            raise ValueError(f"random_start_fraction is {self.random_start_fraction}; it must be 0 to 1.")
        if not 0.0 <= self.bend_start_fraction <= 1.0:
            raise ValueError(f"bend_start_fraction is {self.bend_start_fraction}; it must be 0 to 1.")
        if self.settle_ticks < 1:
            raise ValueError(f"settle_ticks is {self.settle_ticks}; the car is seen in its place only after 1 tick.")
        if self.npc_clearance_m < 0.0:
            raise ValueError(f"npc_clearance_m is {self.npc_clearance_m}; it must not be negative.")
        if self.reward.limit_mps != self.speed.limit_mps:
            raise ValueError(
                f"reward.limit_mps is {self.reward.limit_mps:g} but speed.limit_mps is {self.speed.limit_mps:g}; "
                "set both to the same speed limit."
            )
        check_ordering(self.reward, self.termination, self.decision_s)

    def check_route(self, route: str) -> None:
        """Raises ValueError where `route` names no route, or one of another town."""
        town = route_ends(route).town
        if town and not self.simulator.xodr and town != self.simulator.town:
            raise ValueError(
                f"route {route!r} lies in {town}, but simulator.town is {self.simulator.town}; change one of them."
            )
