"""Pictures of a drive for the video: camera, view from above and numbers; or what another environment renders."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from envloop.client.traffic import Npc
from envloop.drawing.birdseye import BirdsEye, box_corners, lane_polygons
from envloop.drawing.video import VideoWriter, compose
from envloop.env import CarlaEnv
from envloop.task.episode import RouteTask

_VIEW_PIXELS, _VIEW_METRES = 432, 60.0
_EGO_HALF_SIZE = (2.4, 0.95)  # m, a Tesla Model 3's


class Scene:
    """Draws one video frame a step: camera, view from above, numbers."""

    def __init__(self) -> None:
        self._birdseye: BirdsEye | None = None

    def __call__(
        self, env: CarlaEnv, action: np.ndarray, info: Mapping[str, Any], numbers: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """uint8 RGB [432, W, 3]; `numbers` are written in addition to the drive's own."""
        if self._birdseye is None:
            self._birdseye = BirdsEye(lane_polygons(env.simulator.map), env.route_task.route.points[:, :2])
        ego = info["ego"]
        pose = (ego["x"], ego["y"], ego["yaw_deg"])
        boxes = [box_corners(*pose, *_EGO_HALF_SIZE), *(_npc_outline(npc) for npc in env.npcs)]
        written = {
            "speed km/h": 3.6 * ego["speed_mps"],
            "steer": float(action[0]),
            "throttle" if action[1] > 0 else "brake": abs(float(action[1])),
            "lateral m": ego["lateral_m"],
            "route": f"{info['route_completion']:.0%}",
            **(numbers or {}),
            "": info["reason"] or "",
        }
        camera = env.render()
        assert camera is not None
        return compose(camera, self._birdseye.window(pose, boxes, _VIEW_PIXELS, _VIEW_METRES), written)


class Recorder:
    """Writes a picture a step to a video."""

    def __init__(self, video: VideoWriter) -> None:
        self._video = video
        self._scene = Scene()
        self._route_task: RouteTask | None = None

    def __call__(self, env: gym.Env, action: np.ndarray, info: Mapping[str, Any]) -> None:
        if not isinstance(env, CarlaEnv):
            self._video.add(_even(np.asarray(env.render(), np.uint8)))
            return
        if env.route_task is not self._route_task:  # another route to draw
            self._scene, self._route_task = Scene(), env.route_task
        self._video.add(self._scene(env, action, info))


def _even(picture: np.ndarray) -> np.ndarray:
    """Without a last odd row or column, which H.264's colours do not allow."""
    return picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]


def _npc_outline(npc: Npc) -> np.ndarray:
    return box_corners(*npc.pose(), npc.half_length_m, _EGO_HALF_SIZE[1])
