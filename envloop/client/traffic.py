"""NPC vehicles and pedestrians of one environment: seeded, synchronous.

The wheel's Traffic Manager drives the vehicles, on a port of its own; the client's crowd leads the pedestrians.
"""

import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import carla
import numpy as np

from envloop.client.errors import carla_calls, process_start
from envloop.client.minicarla_process import child_environment
from envloop.client.simulator import Simulator
from envloop.client.world_lock import role_name
from envloop.errors import SimulatorError, TaskError
from envloop.seeding import EpisodeStream, generator
from envloop.task.route import Other

_LANE_STEP_M = 2.0
ASIDE_TICKS = 10  # for which those who are far away are not looked at,
ASIDE_M = 20.0  # and what they and the ego may come nearer meanwhile: 1 s at 70 km/h
_GRACE_S = 2.0  # what a command may take beyond its own time-out


@dataclass(frozen=True)
class Npc:
    """One NPC vehicle, its id and the half length of its body in metres."""

    actor: carla.Vehicle
    id: int
    half_length_m: float
    address: str  # of its simulator

    def pose(self) -> tuple[float, float, float]:
        """x, y in metres and yaw in degrees in the last snapshot. Raises SimulatorError where the simulator is lost."""
        with carla_calls(self.address):
            pose = self.actor.get_transform()
        return pose.location.x, pose.location.y, pose.rotation.yaw


class Traffic:
    """Spawns and removes the NPC vehicles and pedestrians of an episode.

    The Traffic Manager and the crowd live in a process of their own (see traffic_process.py), which is started with the
    first of them and from then on makes the ticks of this connection.

    Raises (all methods but `close`):
      SimulatorError: the simulator or the Traffic Manager is lost.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._world = simulator.world
        self._spawn_points: list[carla.Transform] = simulator.map.get_spawn_points()
        self._process: TrafficProcess | None = None
        self._ids: list[int] = []
        self._has_walkers = False
        self.vehicles: list[Npc] = []
        self._near: list[Npc] = []  # those of the vehicles that `near` may have to give, from this frame on
        self._near_from = -ASIDE_TICKS

    def spawn(
        self, count: int, seed: int, keep_clear: tuple[float, float], clearance_m: float, speed_kmh: float, least: int
    ) -> int:
        """Spawns `count` vehicles in one batch; places, models, colours and their driving come from `seed`.

        They are in the world's state after the next tick; `look_up` finds them there.

        Args:
          least: with so many it is content where there is no room for `count`.
          keep_clear: (x, y) of the ego in metres; nothing is spawned within `clearance_m` of it.
          speed_kmh: what they drive where nothing is in the way; 0 for the limits that they pass.

        Returns:
          How many there are.

        Raises:
          TaskError: the map has fewer free spawn points than `least`.
        """
        if count == 0:
            return 0
        free = [i for i, point in enumerate(self._spawn_points) if _distance(point, keep_clear) >= clearance_m]
        if len(free) < least:
            raise TaskError(
                f"{least} NPC vehicles do not fit: {self._simulator.map.name} has {len(free)} spawn points at least "
                f"{clearance_m:g} m from the ego; choose a scenario with fewer vehicles."
            )
        rng = generator(seed, EpisodeStream.TRAFFIC, count)
        places = [free[i] for i in rng.permutation(len(free))[:count]]
        self._ids = self._process_of_ticks().call(
            "spawn", int(rng.integers(2**31)), places, int(rng.integers(2**31)), speed_kmh
        )
        return len(self._ids)

    def spawn_walkers(
        self,
        count: int,
        seed: int,
        keep_clear: tuple[float, float],
        clearance_m: float,
        least: int,
        passers_by: int = 0,
        route: Sequence[tuple[float, float]] = (),
    ) -> int:
        """Spawns `count` pedestrians on the pavements and sends them on their way, with one tick; all from `seed`.

        Args:
          passers_by: so many more walk near `route`, x, y of points in metres, where there is room.
          least: with so many it is content where the map has no pavement, or no room for `count`.
          keep_clear: (x, y) of the ego in metres; nobody is spawned within `clearance_m` of it.

        Returns:
          How many there are.

        Raises:
          TaskError: there is no room for `least`.
        """
        if count + passers_by == 0:
            return 0
        self._has_walkers = True
        timeout_s = self._simulator.config.timeout_s
        arguments = count, passers_by, list(route), seed, keep_clear, clearance_m, timeout_s
        spawned = self._process_of_ticks().call("spawn_walkers", *arguments)
        if spawned < least:
            raise TaskError(
                f"{least} pedestrians do not fit: {self._simulator.map.name} has pavements for {spawned} at least "
                f"{clearance_m:g} m from the ego; lower env.walkers."
            )
        return int(spawned)

    def look_up(self) -> None:
        """Fills `vehicles` with those of the last `spawn` that the world's state holds (after a tick)."""
        if not self._ids:
            return
        with carla_calls(self._simulator.address):
            found = [(actor, actor.id) for actor in self._world.get_actors(self._ids)]
        size, address = self._simulator.half_size, self._simulator.address
        self.vehicles = [Npc(actor, actor_id, size(actor)[0], address) for actor, actor_id in found]
        self._near, self._near_from = [], -ASIDE_TICKS

    def near(self, x: float, y: float, range_m: float) -> list[Other]:
        """The vehicles within `range_m` of (x, y) metres in the last snapshot; no call to the server.

        `range_m` is the same in all calls: who is far away is left out for some ticks.
        """
        with carla_calls(self._simulator.address):
            snapshot = self._world.get_snapshot()
            frame = snapshot.frame
            looked_at = self._near if self._near_from <= frame < self._near_from + ASIDE_TICKS else self.vehicles
            states = [(npc, snapshot.find(npc.id)) for npc in looked_at]
        others, near = [], []
        for npc, state in states:
            if state is None:  # the Traffic Manager removes cars that are stuck for long
                continue
            location = state.get_transform().location
            distance_m = math.hypot(location.x - x, location.y - y)
            if distance_m < range_m + ASIDE_M:
                near.append(npc)
            if distance_m < range_m:
                velocity = state.get_velocity()
                others.append(Other(location.x, location.y, velocity.x, velocity.y, npc.half_length_m, location.z))
        if looked_at is self.vehicles:
            self._near, self._near_from = near, frame
        return others

    def control(self, actor: int, steer: float, throttle: float, brake: float) -> bool:
        """Hands a vehicle's control to the process that makes the ticks, with the next one; False where there is none.

        A call of this process's client could reach the server after the tick of the other one's.
        """
        if self._process is None:
            return False
        self._process.control = [actor, steer, throttle, brake]
        return True

    def clear(self) -> None:
        """Destroys vehicles and pedestrians; the next tick shows the empty road."""
        if self._process is not None:
            self._process.control = None  # of a step that was broken off
        if self._has_walkers and self._process is not None:
            self._process.call("clear_walkers")
        if self._ids and self._process is not None:
            self._process.call("destroy", self._ids)
        self._ids, self.vehicles, self._has_walkers = [], [], False

    def _process_of_ticks(self) -> "TrafficProcess":
        """Started where it is not yet; it makes the ticks from now on."""
        if self._process is None:
            self._process = TrafficProcess(self._simulator)
            self._simulator.tick_override = self._process.tick
        return self._process

    def close(self) -> None:
        """Ends the Traffic Manager's process."""
        self._simulator.tick_override = None
        if self._process is not None:
            self._process.close()
            self._process = None


class TrafficProcess:
    """A running traffic_process.py and the connection to it; it ends with this process."""

    def __init__(self, simulator: Simulator) -> None:
        self._timeout_s = simulator.config.timeout_s
        arguments = (*simulator.host_and_port, self._timeout_s, role_name("npc", simulator.owner))
        with process_start("The Traffic Manager's process"):
            self._process, self._socket, self._log = _started([str(argument) for argument in arguments])
        self._received = b""
        self.control: list[Any] | None = None  # a vehicle's, in force from the next tick on: id, steer, throttle, brake
        self._answer_due = True
        try:
            self._answer(simulator.config.start_timeout_s)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, name: str, *arguments: Any) -> Any:
        """Sends a command and waits for what it gives."""
        return self._exchange(self._timeout_s + _GRACE_S, name, *arguments)

    def tick(self, timeout_s: float) -> int:
        """One tick of the world and of the Traffic Manager; the frame number."""
        control, self.control = self.control, None
        return int(self._exchange(2.0 * timeout_s + _GRACE_S, "tick", timeout_s, control))

    def close(self) -> None:
        """Ends the process at once. May be called twice."""
        self._socket.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._log.close()

    def _exchange(self, timeout_s: float, name: str, *arguments: Any) -> Any:
        if self._answer_due:
            raise SimulatorError("A command to the Traffic Manager's process was interrupted; reset the environment.")
        self._answer_due = True
        try:
            self._socket.sendall(json.dumps([name, *arguments]).encode() + b"\n")
        except OSError:
            raise self._lost() from None
        return self._answer(timeout_s)

    def _answer(self, timeout_s: float) -> Any:
        deadline = time.monotonic() + timeout_s
        try:
            while b"\n" not in self._received:
                self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
                chunk = self._socket.recv(65536)
                if not chunk:
                    raise self._lost()
                self._received += chunk
        except TimeoutError:
            raise SimulatorError(f"The Traffic Manager's process did not answer within {timeout_s:g} s.") from None
        except OSError:
            raise self._lost() from None
        line, _, self._received = self._received.partition(b"\n")
        self._answer_due = False
        kind, value = json.loads(line)
        if kind == "lost":
            raise SimulatorError(f"The Traffic Manager's process reports: {value}")
        if kind == "bug":
            raise RuntimeError(f"The Traffic Manager's process failed:\n{value}")
        return value

    def _lost(self) -> SimulatorError:
        self._log.seek(max(0, os.fstat(self._log.fileno()).st_size - 2000))
        said = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return SimulatorError(f"The Traffic Manager's process ended: {said[-1] if said else 'it gave no reason'}")


def _started(arguments: list[str]) -> tuple[subprocess.Popen[bytes], socket.socket, BinaryIO]:
    """The Traffic Manager's process, the connection to it, and the file that takes its output."""
    with contextlib.ExitStack() as on_failure:
        log = cast(BinaryIO, on_failure.enter_context(tempfile.TemporaryFile()))
        ours, theirs = socket.socketpair()
        on_failure.enter_context(ours)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "envloop.client.traffic_process", str(theirs.fileno()), *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=child_environment(),
                start_new_session=True,  # Ctrl-C in the terminal is for the trainer
            )
        on_failure.pop_all()
    return process, ours, log


def lanes_m(carla_map: carla.Map) -> float:
    """Metres of a map's driving lanes outside junctions."""
    waypoints = carla_map.generate_waypoints(_LANE_STEP_M)
    driven = [each for each in waypoints if each.lane_type == carla.LaneType.Driving and not each.is_junction]
    return _LANE_STEP_M * len(driven)


def _distance(place: carla.Transform, point: tuple[float, float]) -> float:
    return float(np.hypot(place.location.x - point[0], place.location.y - point[1]))
