"""What people see of an environment: a picture now and then while it drives, a clip of how an episode failed.

Nothing here changes what is driven, and no simulator that is lost while somebody looks ends an episode.
"""

import contextlib
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from envloop.client.onlooker import Onlooker
from envloop.client.simulator import Simulator
from envloop.drawing.birdseye import BirdsEye, box_corners, lane_polygons, thin_outline
from envloop.drawing.video import encoded
from envloop.errors import SimulatorError

CLIP_S = 5.0  # simulated seconds before a failure
_HEIGHT = 216  # of camera and view from above, pixels
_VIEW_METRES = 50.0
_JPEG_QUALITY = 80

# Keys of `info`; see `envloop.description`.
PICTURE, CLIP, LANES = "picture", "clip", "lanes"


@dataclass(frozen=True, slots=True)
class Ego:
    """The car whose drive is watched: its actor, and half its length and width in m."""

    actor: int
    half_length_m: float
    half_width_m: float


@dataclass(frozen=True, slots=True)
class Moment:
    """One decision.

    Attributes:
      camera: uint8 BGRA [H, W, 4]; None without a camera.
      pose: the ego's x, y (m) and yaw (deg).
      speed_mps: the ego's, m/s.
      steer, accel: the action.
      light: state of the traffic light in whose zone the ego is, as `EgoVehicle.light` says it; "" in none.
      reward: of the decision.
    """

    camera: NDArray[np.uint8] | None
    pose: tuple[float, float, float]
    speed_mps: float
    steer: float = 0.0
    accel: float = 0.0
    light: str = ""
    reward: float = 0.0


class Spectator:
    """Watches the environment of one connection to a simulator.

    Args:
      simulator: a connected one.
      ego: who is watched.
      decision_s: simulated seconds from one moment to the next.
      pictures_per_s: how many pictures a second of wall time to give; 0 for none.
    """

    def __init__(self, simulator: Simulator, ego: Ego, decision_s: float, pictures_per_s: float) -> None:
        self._simulator = simulator
        self._ego = ego
        self._fps = 1.0 / decision_s
        self._every_s = 1.0 / pictures_per_s if pictures_per_s else 0.0
        self._next_picture = 0.0
        self._moments: deque[tuple[Moment, Any]] = deque(maxlen=max(1, round(CLIP_S / decision_s)))
        self._recording = False
        self.paused = False  # whether pictures are left out for a while
        self._lanes: list[NDArray[np.float32]] | None = None

    def begin(self, route: NDArray[np.float64], moment: Moment, record: bool) -> dict[str, Any]:
        """An episode on `route`, points [N, 2+] in m; what to put into the reset's `info`."""
        self._recording = record
        if not self._watching:
            return {}
        self._moments.clear()
        self._onlooker = Onlooker(self._simulator)
        self._birdseye = BirdsEye(self._roads(), route[:, :2])
        lanes = {LANES: self._roads()} if record else {}
        return {**lanes, **self.see(moment, ended=False, failed=False)}

    def see(self, moment: Moment, *, ended: bool, failed: bool) -> dict[str, Any]:
        """A decision was made; what to put into its `info`.

        That is "picture", a JPEG, when it is time for one and at an episode's end; and "clip", see `_clip`, of a failed
        episode that is recorded.
        """
        if not self._watching:
            return {}
        shown: dict[str, Any] = {}
        with contextlib.suppress(SimulatorError):  # the next step will meet it
            snapshot = self._onlooker.glance()
            if self._recording:
                self._moments.append((moment, snapshot))
            now = time.monotonic()
            if self._every_s and not self.paused and (ended or now >= self._next_picture):
                self._next_picture = now + self._every_s
                shown[PICTURE] = _jpeg(self._drawn(moment, snapshot))
            if failed and self._recording:
                shown[CLIP] = self._clip()
        return shown

    @property
    def _watching(self) -> bool:
        return self._recording or self._every_s > 0.0

    def _roads(self) -> list[NDArray[np.float32]]:
        if self._lanes is None:
            self._lanes = [thin_outline(polygon) for polygon in lane_polygons(self._simulator.map)]
        return self._lanes

    def _drawn(self, moment: Moment, snapshot: Any) -> NDArray[np.uint8]:
        """uint8 RGB [216, W, 3]: the camera's picture, where there is one, and the view from above."""
        x, y, _ = moment.pose
        bodies = self._onlooker.bodies(snapshot, x, y, _VIEW_METRES, but=self._ego.actor)
        boxes = [
            box_corners(*moment.pose, self._ego.half_length_m, self._ego.half_width_m),
            *(box_corners(body.x, body.y, body.yaw_deg, body.half_length_m, body.half_width_m) for body in bodies),
        ]
        above = self._birdseye.window(moment.pose, boxes, _HEIGHT, _VIEW_METRES)
        if moment.camera is None:
            return above
        height, width = moment.camera.shape[:2]
        size = 2 * round(width * _HEIGHT / height / 2), _HEIGHT  # H.264's colours want even numbers
        camera = cv2.resize(moment.camera, size, interpolation=cv2.INTER_LINEAR)[:, :, 2::-1]
        return np.concatenate([camera, above], axis=1)

    def _clip(self) -> Mapping[str, Any]:
        """The last seconds: "video", H.264 in MP4; "fps"; and "steps", a list for each number of the decisions."""
        frames = [self._drawn(moment, snapshot) for moment, snapshot in self._moments]
        moments = [moment for moment, _ in self._moments]
        steps = {
            "speed_kmh": [round(3.6 * moment.speed_mps, 2) for moment in moments],
            "steer": [round(moment.steer, 3) for moment in moments],
            "accel": [round(moment.accel, 3) for moment in moments],
            "reward": [round(moment.reward, 4) for moment in moments],
            "light": [moment.light for moment in moments],
        }
        return {"video": encoded(frames, self._fps), "fps": self._fps, "steps": steps}


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return data.tobytes()
