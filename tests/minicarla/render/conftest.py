"""One renderer of Town01 for the whole folder: building it costs most of a test's time."""

import numpy as np
import pytest

from minicarla.maps import Pose, Town, load_town
from minicarla.render import CameraKind, Renderer, Weather
from tests.minicarla.render.scenes import Seen, shown

WIDTH, HEIGHT, FOV_DEG = 256, 144, 90.0


class CameraRig:
    """Pictures as arrays, with one camera of each kind."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self._cameras: dict[tuple[CameraKind, int, int, float], int] = {}

    def show(self, seen: list[Seen], weather: Weather, light_states: dict[str, int]) -> None:
        """What the pictures that follow are of."""
        shown(self.renderer, seen, weather, light_states)

    def picture(
        self,
        kind: CameraKind,
        pose: Pose,
        hidden: int | None = None,
        size: tuple[int, int] = (WIDTH, HEIGHT),
        fov_deg: float = FOV_DEG,
    ) -> np.ndarray:
        """[H, W, 4] uint8 BGRA."""
        width, height = size
        key = (kind, width, height, fov_deg)
        if key not in self._cameras:
            self._cameras[key] = self.renderer.add_camera(*key)
        data = self.renderer.render(self._cameras[key], pose, hidden)
        return np.frombuffer(data, np.uint8).reshape(height, width, 4)

    def tags(self, pose: Pose, hidden: int | None = None) -> np.ndarray:
        """[H, W] semantic classes."""
        return self.picture("semantic", pose, hidden)[..., 2]


@pytest.fixture(scope="session")
def town01() -> Town:
    return load_town("Town01")


@pytest.fixture(scope="session")
def rig(town01: Town) -> CameraRig:
    return CameraRig(Renderer(town01))
