"""What a simulator and an environment can be told: frozen data; `validate()` says in one sentence what is wrong.

These classes and those of the task hold every default of the environment; a sentence begins with the name of the
field, seen from EnvConfig.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from envloop.errors import TaskError
from envloop.task.observation import VectorConfig
from envloop.task.pictures import FRAME_SIZE, PICTURES
from envloop.task.reward import RewardBasis, RewardConfig, check_ordering
from envloop.task.route import SpeedRules
from envloop.task.scenario import RANDOM, check_scenario, route_ends
from envloop.task.termination import TerminationConfig

EMBEDDED = "embedded"
MAX_WALKERS = 500  # LibCarla's nav/Navigation.cpp: MAX_AGENTS
SHORTEST_ROUTE_M = 20.0


@dataclass(frozen=True)
class SimulatorConfig:
    """Which simulator, and how patient to be with it.

    Attributes:
      endpoint: "embedded" starts a minicarla of its own; "HOST:PORT" is the RPC port of a running CARLA or minicarla.
        A run with several environments takes as many of these, separated by commas.
      town: map to drive on.
      xodr: path of an OpenDRIVE file to drive on instead of `town`; "" for none.
      maps: folder of OpenDRIVE files from which the embedded simulator takes the `town`, such as CARLA's Town02.xodr;
        "" for none.
      fixed_delta_s: simulated seconds per tick; CARLA allows 0.1 at most.
      timeout_s: how long one call, one tick or one camera frame may take before the simulator counts as lost.
      start_timeout_s: how long a server may take to start or to load a map. A minicarla's first start compiles, for
        half a minute or more.
      restart_attempts: how often a lost simulator is started or called again before giving up.
      backoff_s: wait before the next attempt, s; doubles each time.
      backoff_max_s: the longest such wait, s.
      log_dir: folder for the embedded server's standard error; "" for the system's temporary folder.
    """

    endpoint: str = EMBEDDED
    town: str = "Town01"
    xodr: str = ""
    maps: str = field(default="", metadata={"before": ""})
    fixed_delta_s: float = 0.05
    timeout_s: float = 10.0
    start_timeout_s: float = 180.0
    restart_attempts: int = 8
    backoff_s: float = 1.0
    backoff_max_s: float = 60.0
    log_dir: str = ""

    def validate(self) -> None:
        """Raises TaskError with one plain sentence for the first thing that is wrong."""
        if self.endpoint != EMBEDDED:
            self.host_and_port()
        if not self.town and not self.xodr:
            raise TaskError("simulator.town is empty; name a town such as Town01, or give simulator.xodr.")
        if self.xodr and not Path(self.xodr).is_file():
            raise TaskError(f"simulator.xodr: there is no file {self.xodr!r}; give the path of an OpenDRIVE file.")
        if self.maps and not Path(self.maps).is_dir():
            raise TaskError(f"simulator.maps: there is no folder {self.maps!r}; give one with OpenDRIVE files.")
        if not 0.0 < self.fixed_delta_s <= 0.1:
            raise TaskError(
                f"simulator.fixed_delta_s is {self.fixed_delta_s}; CARLA's physics needs more than 0, at most 0.1."
            )
        for name in ("timeout_s", "start_timeout_s", "backoff_s", "backoff_max_s"):
            if not getattr(self, name) > 0.0:
                raise TaskError(f"simulator.{name} is {getattr(self, name)}; it must be positive.")
        if self.restart_attempts < 1:
            raise TaskError(f"simulator.restart_attempts is {self.restart_attempts}; it must be at least 1.")

    def host_and_port(self) -> tuple[str, int]:
        """Host and RPC port of an external endpoint. Raises TaskError where the text is no HOST:PORT."""
        host, separator, port = self.endpoint.rpartition(":")
        # CARLA streams sensors from the port above the RPC port, so the last port cannot be one.
        if not (separator and host and port.isdecimal() and 1 <= int(port) <= 65534):
            raise TaskError(
                f"simulator.endpoint is {self.endpoint!r}; write 'embedded', or HOST:PORT such as 127.0.0.1:2000."
            )
        return host, int(port)


@dataclass(frozen=True)
class CameraConfig:
    """The front camera.

    Attributes:
      width: of the picture, pixels.
      height: of the picture, pixels.
      fov_deg: horizontal field of view, degrees.
      x: mounting point, m ahead of the car's centre.
      z: mounting point, m above the ground.
    """

    width: int = 256
    height: int = 144
    fov_deg: float = 90.0
    x: float = 1.6
    z: float = 1.5

    def validate(self) -> None:
        """Raises TaskError with one plain sentence for the first thing that is wrong."""
        if not (FRAME_SIZE <= self.width <= 4096 and FRAME_SIZE <= self.height <= 4096):
            raise TaskError(
                f"camera.width x height is {self.width}x{self.height}; each must be {FRAME_SIZE} to 4096 pixels."
            )
        if not 1.0 <= self.fov_deg <= 170.0:
            raise TaskError(f"camera.fov_deg is {self.fov_deg}; it must be 1 to 170 degrees.")


@dataclass(frozen=True)
class RandomRouteConfig:
    """Lengths of randomly drawn routes: uniform between two bounds.

    Attributes:
      min_m: the shortest, m.
      max_m: the longest, m.
    """

    min_m: float = 100.0
    max_m: float = 600.0

    def validate(self) -> None:
        """Raises TaskError with one plain sentence for the first thing that is wrong."""
        if not SHORTEST_ROUTE_M <= self.min_m <= self.max_m:
            raise TaskError(
                f"random_route.min_m is {self.min_m:g} and max_m {self.max_m:g}; give at least {SHORTEST_ROUTE_M:g}, "
                "the smaller first."
            )


@dataclass(frozen=True)
class StartNoise:
    """How far an episode that starts at the beginning of its route is from the route's very first point.

    Uniform, from the episode's seed. On an empty road it is all that distinguishes two evaluation episodes of a policy
    without noise. The car begins within its lane, at rest. Zeros switch it off.

    Attributes:
      along_m: at most so far ahead, m.
      lateral_m: at most so far to either side, m.
      heading_deg: turned at most so far to either side, degrees.
    """

    along_m: float = 5.0
    lateral_m: float = 0.3
    heading_deg: float = 3.0

    def validate(self) -> None:
        """Raises TaskError with one plain sentence for the first thing that is wrong."""
        for name, most in (("along_m", 20.0), ("lateral_m", 0.5), ("heading_deg", 10.0)):
            if not 0.0 <= getattr(self, name) <= most:
                raise TaskError(f"start_noise.{name} is {getattr(self, name)}; it must be 0 to {most:g}.")


@dataclass(frozen=True)
class EnvConfig:
    """One environment: where it drives, what it sees, what is rewarded, when an episode ends.

    Attributes:
      simulator: see SimulatorConfig.
      route: a name of `scenario.ROUTES`, a suite's route such as "town01-nav/0", "X,Y -> X,Y" in metres on the
        simulator's map (X,Y,Z where roads lie above each other), or "random": a route drawn from each episode's seed,
        none of a suite's (see suites).
      random_route: see the class; read where `route` is "random".
      scenario: "empty", "0", "1", "2" for 0, 20, 50, 100 NPC vehicles; "regular" for 20 and 50 walkers, "dense" for 100
        and 250 walkers (both in Town01; other towns have as many for each metre of lane, as far as there is room);
        "mixed" for one of empty, regular and dense, drawn from each episode's seed.
      observation: "both", or "image" or "vector" alone; without the image no camera is rendered.
      privileged: add "privileged" to what is observed, float32 numbers that the simulator knows and the camera only
        shows (`task.affordances`): for losses and critics while learning. An evaluation has none of it.
      columns: end "privileged" with how near people and vehicles are in each column of the picture (`task.columns`).
      rules: the rules of the road count in reward and end: a red light run ends the episode and costs a crash, people
        are kept away from as vehicles are. Without it a run light is only counted, as in an evaluation.
      picture: "grey" is luma; "signals" shows red lamps bright and green ones dark on it, which grey does not tell
        apart; "fovea" is that with the middle magnified, so that people far ahead are seen; "blank" shows nothing, so
        that an evaluation tells what the camera is worth.
      camera, vector, reward, termination, speed: see the classes.
      weather: name of a preset of `carla.WeatherParameters`, or several separated by commas, of which each episode's
        seed draws one.
      action_repeat: ticks per decision. In 0.1 s an action changes more than the critic errs by; in 0.05 s it did not.
      random_start_fraction: share of episodes that begin anywhere on the route at any legal speed; the others, and
        every episode reset with options={"start": "beginning"}, begin at the route's start, at rest.
      bend_start_fraction: share of the random starts that lie in a bend or the run-up to one, where the route has any:
        a bend is a few metres of a route and most of its difficulty. Without it, half of the seeds stopped in front of
        route 0's turn for good.
      start_noise: see the class.
      settle_ticks: ticks after a teleport before the first observation: the car falls 0.5 m on its wheels, which takes
        0.32 s, and should not bob in the first pictures.
      npc_clearance_m: no NPC and no pedestrian is spawned nearer to the ego, m.
      npc_speed_kmh: what NPC vehicles drive where nothing is in the way, km/h; 0 makes them follow the signs that they
        pass, which in Town01 say 30, 60 and 90.
      walkers: pedestrians on the pavements and crossings besides those of the scenario, led by the crowd of the `carla`
        client; the map needs a navigation mesh, which minicarla makes from its pavements.
      passers_by: pedestrians besides, who begin within 25 m of the route and walk to its other side by the crossings,
        while learning: an episode of a whole town's pedestrians shows few from near, and fewer who are in the way of a
        car that turns. Evaluation is without them.
      expert: scripted driver, by its name in `python -m avtd3_jax.evaluate --policy`, whose action is beside every
        observation while learning, for the losses that ask for it; "" for none. No policy reads it, and evaluation is
        without it.
      discount: gamma per decision of the learner, which the reward's values rest on.
      pictures_per_s: pictures for people to watch, in `info`, each second of wall time; 0 for none.
    """

    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    route: str = "town01-0"
    random_route: RandomRouteConfig = field(default_factory=RandomRouteConfig)
    scenario: str = "empty"
    observation: Literal["both", "image", "vector"] = "both"
    privileged: bool = field(default=False, metadata={"before": False})
    columns: bool = field(default=False, metadata={"before": False})
    rules: bool = field(default=False, metadata={"before": False})
    picture: Literal["grey", "signals", "fovea", "blank"] = field(default="grey", metadata={"before": "grey"})
    camera: CameraConfig = field(default_factory=CameraConfig)
    vector: VectorConfig = field(default_factory=VectorConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    termination: TerminationConfig = field(default_factory=TerminationConfig)
    speed: SpeedRules = field(default_factory=SpeedRules)
    weather: str = "ClearNoon"
    action_repeat: int = 2
    random_start_fraction: float = 0.7
    bend_start_fraction: float = 0.5
    start_noise: StartNoise = field(default_factory=StartNoise)
    settle_ticks: int = 8
    npc_clearance_m: float = 20.0
    npc_speed_kmh: float = field(default=30.0, metadata={"before": 30.0})
    walkers: int = field(default=0, metadata={"before": 0})
    passers_by: int = field(default=0, metadata={"before": 0})
    expert: str = field(default="", metadata={"before": ""})
    discount: float = field(default=0.95, metadata={"follows": "agent.gamma"})
    pictures_per_s: float = field(default=0.0, metadata={"follows": "monitor"})

    @property
    def decision_s(self) -> float:
        """Simulated seconds per decision."""
        return self.simulator.fixed_delta_s * self.action_repeat

    @property
    def reward_basis(self) -> RewardBasis:
        """What the reward follows from besides its own numbers."""
        return RewardBasis(self.discount, self.decision_s, self.speed.limit_mps)

    def validate(self) -> None:
        """Raises TaskError with one plain sentence for the first thing that is wrong."""
        self.simulator.validate()
        self.camera.validate()
        self.random_route.validate()
        self.start_noise.validate()
        check_scenario(self.scenario)
        if self.observation not in ("both", "image", "vector"):
            raise TaskError(f"observation is {self.observation!r}; choose 'both', 'image' or 'vector'.")
        if self.columns and not self.privileged:
            raise TaskError("columns is set, which ends what is privileged: set privileged too.")
        if self.picture not in PICTURES:
            raise TaskError(f"picture is {self.picture!r}; choose one of {', '.join(PICTURES)}.")
        if self.route != RANDOM:
            self.check_route(self.route)
        if self.action_repeat < 1:
            raise TaskError(f"action_repeat is {self.action_repeat}; it must be at least 1.")
        if not 0.0 <= self.random_start_fraction <= 1.0:
            raise TaskError(f"random_start_fraction is {self.random_start_fraction}; it must be 0 to 1.")
        if not 0.0 <= self.bend_start_fraction <= 1.0:
            raise TaskError(f"bend_start_fraction is {self.bend_start_fraction}; it must be 0 to 1.")
        if self.settle_ticks < 1:
            raise TaskError(f"settle_ticks is {self.settle_ticks}; the car is seen in its place only after 1 tick.")
        if self.npc_clearance_m < 0.0:
            raise TaskError(f"npc_clearance_m is {self.npc_clearance_m}; it must not be negative.")
        if not 0.0 <= self.npc_speed_kmh <= 130.0:
            raise TaskError(f"npc_speed_kmh is {self.npc_speed_kmh}; it must be 0 to 130.")
        for name in ("walkers", "passers_by"):
            count = getattr(self, name)
            if not 0 <= count <= MAX_WALKERS:
                raise TaskError(
                    f"{name} is {count}; it must be 0 to {MAX_WALKERS}, the most that a client's crowd has."
                )
        if not 0.0 <= self.discount < 1.0:
            raise TaskError(f"discount is {self.discount}; it must be at least 0 and less than 1.")
        check_ordering(self.reward, self.termination, self.reward_basis)

    def check_route(self, route: str) -> None:
        """Raises TaskError where `route` names no route, or one of another town."""
        town = route_ends(route).town
        if town and not self.simulator.xodr and town != self.simulator.town:
            raise TaskError(
                f"route {route!r} lies in {town}, but simulator.town is {self.simulator.town}; change one of them."
            )


@dataclass(frozen=True)
class GymEnvConfig:
    """An environment of Gymnasium's registry.

    Attributes:
      id: its name, such as "Pendulum-v1" or "CarRacing-v3".
      frame_size: pictures become grey and so many pixels high and wide; for environments that show any.
      frame_stack: newest pictures that are seen at once.
    """

    id: str
    frame_size: int = 84
    frame_stack: int = 4

    def validate(self) -> None:
        """Raises TaskError with one plain sentence for the first thing that is wrong."""
        if not self.id:
            raise TaskError("id is empty; name an environment of Gymnasium's, such as Pendulum-v1.")
        for name in ("frame_size", "frame_stack"):
            if getattr(self, name) < 1:
                raise TaskError(f"{name} is {getattr(self, name)}; it must be at least 1.")
