"""One simulator's life: start or connect, check, watch, restart, close."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import carla

from envloop.client.errors import carla_calls
from envloop.client.minicarla_process import EmbeddedServer
from envloop.client.version_check import CARLA_VERSION, require_carla
from envloop.client.world_lock import lock_world, new_owner
from envloop.config import EMBEDDED, SimulatorConfig
from envloop.errors import SimulatorError, TaskError

_LOOPBACK = "127.0.0.1"
_MINICARLA_BLUEPRINT = "static.minicarla.mark"

# With one streaming thread the client handles messages in the order of the wire, so whoever holds the camera frame of
# a tick has already been given every event of that tick.
_STREAMING_THREADS = 1
_CALLBACKS_END_S = 0.05


class Simulator:
    """A connection to one simulator in synchronous mode, embedded or external.

    `generation` counts connections: whatever belongs to the world (actors, sensors) must be made anew when it changes.
    Every method that talks to the simulator raises SimulatorError where the client raises its bare RuntimeError.
    """

    def __init__(self, config: SimulatorConfig) -> None:
        config.validate()
        self.config = config
        self.generation = 0
        self.owner = new_owner()
        # Makes the ticks instead of this connection's client: (time-out in s) -> frame. See traffic.py.
        self.tick_override: Callable[[float], int] | None = None
        self._acquired = False
        self._timeout_s = config.timeout_s
        self._embedded: EmbeddedServer | None = None
        self._host, self._port = _LOOPBACK, 0
        self._client: carla.Client | None = None
        self._world: carla.World | None = None
        self._map: carla.Map | None = None
        self._found_settings: carla.WorldSettings | None = None
        self._half_sizes: dict[str, tuple[float, float]] = {}  # by blueprint

    def __enter__(self) -> "Simulator":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def started(self) -> bool:
        return self._world is not None

    @property
    def client(self) -> carla.Client:
        return _present(self._client)

    @property
    def world(self) -> carla.World:
        return _present(self._world)

    @property
    def map(self) -> carla.Map:
        return _present(self._map)

    @property
    def address(self) -> str:
        return f"{self._host}:{self._port}"

    @property
    def host_and_port(self) -> tuple[str, int]:
        return self._host, self._port

    @property
    def server_pid(self) -> int | None:
        """Process id of the embedded server; None for an external one."""
        return None if self._embedded is None else self._embedded.pid

    @property
    def log_path(self) -> Path | None:
        return None if self._embedded is None else self._embedded.log_path

    def acquire(self) -> None:
        """Marks this simulator as one environment's. Raises SimulatorError when it already is another's."""
        if self._acquired:
            raise SimulatorError(
                "This Simulator already serves another environment; make a second one, each serves one environment."
            )
        self._acquired = True

    def release(self) -> None:
        """The environment that had acquired this simulator is closed."""
        self._acquired = False

    def lock_world(self) -> None:
        """Takes an external world, see world_lock.py. Raises SimulatorError when another environment drives it."""
        if self._embedded is None:
            lock_world(self.client, self.world, self.owner, self.address)

    def start(self) -> None:
        """Starts or finds the server, checks its version, loads the map, turns on synchronous mode."""
        if self.started:
            return
        try:
            self._connect()
        except BaseException:
            self._drop(kill=True)
            raise
        self.generation += 1

    def restart(self) -> None:
        """A new embedded server, or the external one reached again, with exponential back-off.

        Raises:
          SimulatorError: it did not come back in `config.restart_attempts` attempts.
        """
        delay_s = 0.0 if self.config.endpoint == EMBEDDED else self.config.backoff_s
        reason = ""
        for _ in range(self.config.restart_attempts):
            self._drop(kill=True)
            time.sleep(delay_s)
            try:
                self.start()
            except SimulatorError as error:
                reason = str(error)  # and not the error, whose frames hold on to a client that must be gone
                delay_s = min(max(2.0 * delay_s, self.config.backoff_s), self.config.backoff_max_s)
            else:
                return
        raise SimulatorError(f"The simulator did not come back in {self.config.restart_attempts} attempts. {reason}")

    def healthy(self, timeout_s: float = 2.0) -> bool:
        """Whether the server's process lives and answers a call."""
        if not self.started or (self._embedded is not None and not self._embedded.alive()):
            return False
        try:
            require_carla(self._host, self._port, timeout_s)
        except SimulatorError:
            return False
        return True

    def identity(self) -> dict[str, Any]:
        """Which simulator the figures of a run come from; plain data for JSON."""
        with carla_calls(self.address):
            settings = self.world.get_settings()
            marks = self.world.get_blueprint_library().filter(_MINICARLA_BLUEPRINT)
            versions = [mark.get_attribute("version").as_str() for mark in marks]
        return {
            "simulator": f"minicarla {versions[0]}" if versions else f"CARLA {CARLA_VERSION}",
            "host": self.address,
            "map": self.map.name.split("/")[-1],
            "flags": {
                "endpoint": self.config.endpoint,
                "xodr": self.config.xodr,
                "synchronous_mode": settings.synchronous_mode,
                "fixed_delta_seconds": settings.fixed_delta_seconds,
                "no_rendering_mode": settings.no_rendering_mode,
            },
        }

    def set_weather(self, name: str) -> None:
        """Sets the weather to a preset of `carla.WeatherParameters`; see `weather_preset`.

        It is there at the next tick, whoever makes it.
        """
        preset = weather_preset(name)
        with carla_calls(self.address):
            self.world.set_weather(preset)
            self.world.get_settings()  # is answered after it

    def reset_traffic_lights(self) -> None:
        """Begins the cycle of every traffic light anew."""
        with carla_calls(self.address):
            self.world.reset_all_traffic_lights()

    def half_size(self, actor: carla.Actor) -> tuple[float, float]:
        """Half length and width of a body, m. Each blueprint's is asked for once: it takes a call to the server."""
        kind = actor.type_id
        if kind not in self._half_sizes:
            with carla_calls(self.address):
                extent = actor.bounding_box.extent
            self._half_sizes[kind] = extent.x, extent.y
        return self._half_sizes[kind]

    @contextlib.contextmanager
    def long_timeout(self) -> Iterator[float]:
        """Calls within may take `start_timeout_s`: loading a map or making a first camera takes longer than driving."""
        self._set_timeout(max(self.config.timeout_s, self.config.start_timeout_s))
        try:
            yield self._timeout_s
        finally:
            self._set_timeout(self.config.timeout_s)

    def _set_timeout(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        with carla_calls(self.address):
            self.client.set_timeout(timeout_s)

    def tick(self) -> int:
        """Advances the world by one step; the frame number of the new state."""
        if self.tick_override is None:
            with carla_calls(self.address):
                return int(self.world.tick(self._timeout_s))
        frame = self.tick_override(self._timeout_s)
        self._await_state(frame)
        return frame

    def _await_state(self, frame: int) -> None:
        """Another client's tick says nothing about when its snapshot reaches this one."""
        deadline = time.monotonic() + self._timeout_s
        while self._frame() < frame:
            if time.monotonic() > deadline:
                raise SimulatorError(f"The simulator at {self.address} sent no state of frame {frame}.")
            time.sleep(1e-4)

    def _frame(self) -> int:
        """Frame number of the last snapshot."""
        with carla_calls(self.address):
            return int(self.world.get_snapshot().frame)

    def close(self) -> None:
        """Puts an external server back to the settings it was found with; stops an embedded one."""
        if self._embedded is None and self._found_settings is not None and self.healthy():
            with contextlib.suppress(SimulatorError), carla_calls(self.address):
                self.world.apply_settings(self._found_settings)
        self._drop(kill=False)

    def _connect(self) -> None:
        if self.config.endpoint == EMBEDDED:
            source = ["--xodr", self.config.xodr] if self.config.xodr else ["--town", self.config.town]
            source += ["--maps", self.config.maps]  # "" too: what a run drives on is not for the environment to say
            self._embedded = EmbeddedServer(source, self.config.start_timeout_s, self.config.log_dir)
            self._port = self._embedded.port
        else:
            self._host, self._port = self.config.host_and_port()
        require_carla(self._host, self._port, self.config.timeout_s)
        with carla_calls(self.address):
            self._client = carla.Client(self._host, self._port, _STREAMING_THREADS)
        with self.long_timeout():
            with carla_calls(self.address):
                self._world = self.client.get_world()
            if self._embedded is None:
                self._take_external()
            with carla_calls(self.address):
                self._map = self.world.get_map()
        with carla_calls(self.address):
            settings = self.world.get_settings()
            settings.synchronous_mode = True
            settings.fixed_delta_seconds = self.config.fixed_delta_s
            self.world.apply_settings(settings)

    def _take_external(self) -> None:
        """Refuses a server that another environment drives, then loads the configured map."""
        with carla_calls(self.address):
            self._found_settings = self.world.get_settings()
            if self._found_settings.synchronous_mode:
                _wait_for_state(self.world)
        self.lock_world()
        road_network = self._road_network()
        with carla_calls(self.address):
            if road_network:
                self._world = self.client.generate_opendrive_world(road_network)
            elif self.world.get_map().name.split("/")[-1].removesuffix("_Opt") != self.config.town:
                self._world = self.client.load_world(self.config.town)

    def _road_network(self) -> str:
        """Text of the configured OpenDRIVE file, "" where a town is to be loaded."""
        if not self.config.xodr:
            return ""
        try:
            return Path(self.config.xodr).read_text(encoding="utf-8")
        except OSError as error:  # a machine out of files may have some again later
            raise SimulatorError(f"simulator.xodr: {self.config.xodr} cannot be read ({error.strerror}).") from error
        except UnicodeDecodeError:
            raise TaskError(f"simulator.xodr: {self.config.xodr} is no OpenDRIVE file: it is not UTF-8 text.") from None

    def _drop(self, *, kill: bool) -> None:
        self.tick_override = None
        self._half_sizes.clear()
        if self._embedded is not None:
            self._embedded.stop(grace_s=0.0 if kill else 5.0)
            self._embedded = None
        if self._client is not None:
            # Callbacks of stopped sensors end in the client's own thread; a client that is destroyed by that thread
            # aborts the process. It also has to be gone before another server listens on its port.
            time.sleep(_CALLBACKS_END_S)
            self._map = self._world = self._client = self._found_settings = None


def weather_preset(name: str) -> carla.WeatherParameters:
    """The preset of that name. Raises TaskError where there is none."""
    preset = getattr(carla.WeatherParameters, name, None)
    if not isinstance(preset, carla.WeatherParameters):
        names = [key for key, value in vars(carla.WeatherParameters).items() if type(value) is carla.WeatherParameters]
        raise TaskError(f"Unknown weather {name!r}; choose one of {', '.join(sorted(names))}.")
    return preset


def _wait_for_state(world: carla.World) -> None:
    """A world found synchronous shows its actors only after a tick: its driver's or, if that is gone, ours."""
    try:
        world.wait_for_tick(1.0)
    except RuntimeError:
        world.tick()


def _present(value: Any) -> Any:
    if value is None:
        raise SimulatorError("The simulator is not started; call start() first.")
    return value
