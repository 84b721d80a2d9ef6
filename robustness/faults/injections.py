"""The faults, one class each; every one is what it says, done to real processes, sockets, files and limits."""

import random
import resource
import shutil
import signal
import time
from typing import Any, ClassVar

import psutil

from robustness.faults.stage import Needs, Stage

_SIM_TIMEOUT_S = 2.0  # `sim.timeout_s` of the trainings
_LONGER_S = 1.5 * _SIM_TIMEOUT_S
_BACK_S = 600.0  # on a machine that others keep busy
_FIRST_FILES = 6  # descriptors that a training never closes: its terminal, its lock, its first imports'
ON_RAY: dict[str, Any] = {"num_envs": 2, "fleet.backend": "ray"}
APART = {**ON_RAY, "fleet.max_lag_updates": 64}  # each environment acts for itself
_ON_RAY = Needs(values=ON_RAY)
_LATE_S, _FULL_S = 20.0, 10.0
_EMBEDDED, _WORKER, _TRAFFIC = "minicarla", "envloop.workers.worker", "envloop.client.traffic_process"


class Fault:
    """Something that goes wrong.

    needs: how the training has to be started for it.
    tears: whether the episode under way loses its simulator by it.
    may_miss: whether it can meet what nobody waits for, such as a picture of a tick between two episodes.
    costs: what else is lost, in words; "" for nothing.
    apart: steps that a training makes at most from one of them to the next, its recovery included. None where that
      cannot be said, for others go on meanwhile: such a training has no last step, and is told to end.
    """

    name: ClassVar[str]
    needs: ClassVar[Needs] = Needs()
    tears: ClassVar[bool] = True
    may_miss: ClassVar[bool] = False
    costs: ClassVar[str] = ""
    apart: ClassVar[int | None] = 100

    def inject(self, stage: Stage, rng: random.Random) -> None:
        """Does it."""
        raise NotImplementedError


class ServerKilled(Fault):
    """SIGKILL to the embedded server."""

    name = "server killed"

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.training.child(_EMBEDDED).kill()


class ServerStopped(Fault):
    """SIGSTOP to the embedded server, which is longer than any time-out."""

    name = "server stopped (SIGSTOP)"

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.training.child(_EMBEDDED).send_signal(signal.SIGSTOP)


class ExternalServerStopped(Fault):
    """SIGSTOP to an external server for longer than the time-out, then SIGCONT."""

    name = "external server stopped, then going on"
    needs = Needs(external=True)

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.server.stop()
        time.sleep(_LONGER_S)
        stage.server.go_on()


class ServerRestarted(Fault):
    """SIGKILL to an external server, and another one on its port at once or a little later."""

    name = "server restarted on the same port"
    needs = Needs(external=True)

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.server.kill()
        time.sleep(rng.choice((0.0, _LONGER_S)))
        stage.server.start()


class StreamCut(Fault):
    """The camera's connection is closed in the middle of a frame."""

    name = "stream cut mid-frame"
    needs = Needs(external=True)
    may_miss = True
    apart = 200

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.wire.cut_in_a_picture()


class FrameNotDelivered(Fault):
    """One camera frame never arrives."""

    name = "frame never delivered"
    needs = Needs(external=True)
    may_miss = True
    apart = 200

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.wire.swallow_a_picture()


class AnswersHeld(Fault):
    """The server's answers arrive after the time-out, all of them."""

    name = "answers later than the time-out"
    needs = Needs(external=True)

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.wire.hold_answers(_LONGER_S)


class TrafficManagerPortTaken(Fault):
    """The Traffic Manager's process is killed; the first three ports that the next one finds free are taken."""

    name = "Traffic Manager killed, 3 ports of the next one taken"
    needs = Needs(shims=("ports",), values={"scenario": "0"})

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.shims["ports"][0] = 3
        stage.training.child(_TRAFFIC).kill()


class EnvProcessKilled(Fault):
    """SIGKILL to one of two environments' processes."""

    name = "environment's process killed (1 of 2)"
    needs = Needs(values={"num_envs": 2})
    apart = 1500  # the other environment goes on

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.training.child(_WORKER, rng.randrange(2)).kill()


class RayActorKilled(Fault):
    """SIGKILL to the process of one of two environments' Ray actors."""

    name = "Ray actor killed (1 of 2)"
    needs = _ON_RAY
    apart = None

    def inject(self, stage: Stage, rng: random.Random) -> None:
        _actor(stage, rng).kill()


class RayActorStopped(Fault):
    """SIGSTOP to it, which is longer than it may take to answer."""

    name = "Ray actor stopped (1 of 2)"
    needs = _ON_RAY
    apart = None

    def inject(self, stage: Stage, rng: random.Random) -> None:
        _actor(stage, rng).send_signal(signal.SIGSTOP)


class RayNodeKilled(Fault):
    """SIGKILL to all processes of a Ray node, an environment's among them; another node joins late."""

    name = "Ray node killed (1 of 2)"
    needs = Needs(values=_ON_RAY.values, ray_nodes=True)
    apart = None

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.ray_nodes.kill(rng.randrange(stage.environments))


class RayNodeJoinsLate(Fault):
    """The same, and for a while there is no room for the environment; here and below each acts for itself."""

    name = f"Ray node killed (1 of 2), another joins {_LATE_S:g} s later; acting apart"
    needs = Needs(values=APART, ray_nodes=True)
    apart = None

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.ray_nodes.kill(rng.randrange(stage.environments), _LATE_S)


class RayStoresFull(Fault):
    """Every node's object store is full, and nothing can be spilled, for longer than Ray itself waits for room."""

    name = f"Ray's object stores full for {_FULL_S:g} s; acting apart"
    needs = Needs(values=APART, ray_nodes=True)
    apart = None
    tears = False
    costs = "episodes whose chunk found no room are counted with those under way"

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.ray_nodes.fill(_FULL_S)


class OutOfFileDescriptors(Fault):
    """No process of the training may open another file while its server is killed, for longer than a few attempts."""

    name = "out of file descriptors, server killed"
    needs = Needs(values={"checkpoint_every": 40})
    costs = "checkpoints that fell due meanwhile"

    def inject(self, stage: Stage, rng: random.Random) -> None:
        before = _limit_files(stage.training.process.pid)
        try:
            stage.training.child(_EMBEDDED).kill()
            time.sleep(_LONGER_S)
        finally:
            resource.prlimit(stage.training.process.pid, resource.RLIMIT_NOFILE, before)


class OutOfFileDescriptorsAlone(Fault):
    """The same while nothing else goes wrong, so that checkpoints fall due in it."""

    name = "out of file descriptors"
    needs = Needs(values={"checkpoint_every": 20})
    apart = 600  # nothing stops the training meanwhile
    tears = False
    costs = "checkpoints that fell due meanwhile"

    def inject(self, stage: Stage, rng: random.Random) -> None:
        before = _limit_files(stage.training.process.pid)
        time.sleep(_LONGER_S)
        resource.prlimit(stage.training.process.pid, resource.RLIMIT_NOFILE, before)


class ClockJump(Fault):
    """The wall clock jumps by an hour, forwards or backwards, for all processes of the training."""

    name = "clock jump"
    needs = Needs(shims=("clock",))
    tears = False

    def inject(self, stage: Stage, rng: random.Random) -> None:
        stage.shims["clock"][0] += rng.choice((-3600, 3600))


class TensorBoardRemoved(Fault):
    """The folder of TensorBoard's files is removed."""

    name = "TensorBoard directory removed"
    apart = 2500  # the training looks after the folder every few seconds
    tears = False
    costs = "the points that were in it"

    def inject(self, stage: Stage, rng: random.Random) -> None:
        folder = stage.training.workdir / "tensorboard"
        stage.training.until(folder.is_dir, _BACK_S, "TensorBoard's folder to be back")
        shutil.rmtree(folder)


FAULTS: tuple[type[Fault], ...] = (
    ServerKilled,
    ServerStopped,
    ExternalServerStopped,
    ServerRestarted,
    StreamCut,
    FrameNotDelivered,
    AnswersHeld,
    TrafficManagerPortTaken,
    EnvProcessKilled,
    RayActorKilled,
    RayActorStopped,
    RayNodeKilled,
    RayNodeJoinsLate,
    RayStoresFull,
    OutOfFileDescriptors,
    OutOfFileDescriptorsAlone,
    ClockJump,
    TensorBoardRemoved,
)


def _limit_files(pid: int) -> tuple[int, int]:
    """No file more, though some of those that are open be closed; the limits before."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (_FIRST_FILES, before[1]))
    return before


def _actor(stage: Stage, rng: random.Random) -> psutil.Process:
    """The process of one of the training's Ray actors that is not stopped already."""
    found = [
        process
        for process in stage.training.family()
        if process.name().startswith("ray::EnvActor") and process.status() != psutil.STATUS_STOPPED
    ]
    return rng.choice(sorted(found, key=lambda process: process.pid))
