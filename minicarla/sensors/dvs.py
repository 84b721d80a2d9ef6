"""CARLA's dynamic vision sensor: a camera that tells which pixels became brighter or darker."""

from dataclasses import dataclass

import numpy as np

from minicarla.limits import MAX_EVENTS, MAX_MAGNITUDE
from minicarla.maps import Pose
from minicarla.protocol import wire
from minicarla.protocol.rpc_types import Description
from minicarla.sensors.cameras import CameraSensor
from minicarla.sensors.events import NEVER, find_events
from minicarla.sensors.scene import SceneView
from minicarla.world.attributes import Attributes, boolean, integer, number, positive
from minicarla.world.state import SimulationState

LEAST_THRESHOLD = 0.01  # below it CARLA lets no noise bring a threshold
_MAX_REFRACTORY_NS = 10**12


@dataclass(frozen=True, slots=True)
class DvsConfig:
    """Attributes of `sensor.camera.dvs`. Thresholds and their standard deviations are in units of brightness."""

    positive_threshold: float
    negative_threshold: float
    sigma_positive: float
    sigma_negative: float
    refractory_ns: int
    use_log: bool
    log_eps: float

    @classmethod
    def from_attributes(cls, attributes: Attributes) -> "DvsConfig":
        """ValueError, which names the attribute, for one that cannot be."""
        return cls(
            positive_threshold=number(attributes, "positive_threshold", LEAST_THRESHOLD, MAX_MAGNITUDE),
            negative_threshold=number(attributes, "negative_threshold", LEAST_THRESHOLD, MAX_MAGNITUDE),
            sigma_positive=number(attributes, "sigma_positive_threshold", 0.0),
            sigma_negative=number(attributes, "sigma_negative_threshold", 0.0),
            refractory_ns=integer(attributes, "refractory_period_ns", 0, _MAX_REFRACTORY_NS),
            use_log=boolean(attributes, "use_log"),
            log_eps=positive(attributes, "log_eps"),
        )


class DvsCamera(CameraSensor):
    """simplified: events from two pictures of plain shapes at a time; nothing is sent where nothing changes.

    An event's time lies between those of the two pictures, in ns of the simulation; events are sorted by it.
    """

    KIND, TYPE = "rgb", wire.SensorType.EVENTS

    def __init__(
        self, actor_id: int, description: Description, pose: Pose, state: SimulationState, view: SceneView
    ) -> None:
        self._config = DvsConfig.from_attributes(description.attributes)
        super().__init__(actor_id, description, pose, state, view)
        self._rng = np.random.default_rng(abs(state.seed))
        self._before: np.ndarray | None = None  # [N] float32, brightness in the picture before
        self._before_ns = 0
        self._start(np.zeros(1, np.float32))
        self._changes(np.zeros(1, np.float32), np.ones(1, np.float32), 0, 1)  # so that no tick waits for the compiler

    def _body(self) -> bytes | None:
        picture = self._view.picture(self._state, self._camera, self.pose)
        now, now_ns = _brightness(picture, self._config), round(self._state.elapsed * 1e9)
        before, before_ns = self._before, self._before_ns
        self._before, self._before_ns = now, now_ns
        if before is None:
            self._start(now)
            return None
        events = self._changes(before, now, before_ns, now_ns - before_ns)
        return events.tobytes() if len(events) else None

    def _start(self, brightness: np.ndarray) -> None:
        self._reference = brightness.copy()
        self._last_ns = np.full(brightness.size, NEVER, np.int64)

    def _changes(self, before: np.ndarray, now: np.ndarray, begin_ns: int, passed_ns: int) -> np.ndarray:
        """[K] of `wire.EVENT`, sorted by time."""
        config = self._config
        at, time_ns = np.empty(MAX_EVENTS, np.int64), np.empty(MAX_EVENTS, np.int64)
        brighter = np.empty(MAX_EVENTS, np.bool_)
        count = find_events(
            before, now, begin_ns, passed_ns, self._thresholds(config.positive_threshold, config.sigma_positive),
            self._thresholds(config.negative_threshold, config.sigma_negative), config.refractory_ns, self._reference,
            self._last_ns, at, time_ns, brighter,
        )  # fmt: skip
        order = np.argsort(time_ns[:count], kind="stable")
        events = np.empty(count, wire.EVENT)
        events["y"], events["x"] = np.divmod(at[order], self.width)
        events["t"], events["brighter"] = time_ns[order], brighter[order]
        return events

    def _thresholds(self, mean: float, sigma: float) -> np.ndarray:
        """[N] float32, one for each pixel; [1] without noise."""
        if sigma == 0.0:
            return np.array([mean], np.float32)
        noisy = mean + sigma * self._rng.standard_normal(self._reference.size)
        return np.maximum(noisy, LEAST_THRESHOLD).astype(np.float32)


def _brightness(picture: bytes, config: DvsConfig) -> np.ndarray:
    """[N] float32: grey from 0 to 255, or the logarithm of its share with `log_eps` added."""
    blue, green, red, _ = np.frombuffer(picture, np.uint8).reshape(-1, 4).astype(np.float32).T
    grey = 0.2989 * red + 0.5870 * green + 0.1140 * blue
    return np.asarray(np.log(config.log_eps + grey / 255.0) if config.use_log else grey, np.float32)
