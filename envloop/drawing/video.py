"""The evaluation video: what the camera sees, the drive from above, and the numbers."""

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import cv2
import numpy as np

from envloop.errors import TaskError

_HEIGHT = 432  # three times the camera's, and a multiple of 16 as video codecs want
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LINE, _PANEL_WIDTH = 22, 190


def compose(camera: np.ndarray, birdseye: np.ndarray, numbers: Mapping[str, Any]) -> np.ndarray:
    """One video frame, uint8 RGB [432, W, 3].

    Args:
      camera: uint8 RGB [H, W, 3].
      birdseye: uint8 RGB [432, 432, 3].
      numbers: captions and values, one line each, in a panel over the camera picture.
    """
    width = 16 * round(camera.shape[1] * _HEIGHT / camera.shape[0] / 16)
    scene = cv2.resize(camera, (width, _HEIGHT), interpolation=cv2.INTER_LINEAR)
    panel = scene[: _LINE * len(numbers) + 12, :_PANEL_WIDTH]
    panel[:] = panel // 3
    for i, (name, value) in enumerate(numbers.items()):
        text = f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
        cv2.putText(scene, text, (10, _LINE * (i + 1)), _FONT, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([scene, birdseye], axis=1)


def encoded(frames: Sequence[np.ndarray], fps: float) -> bytes:
    """A small H.264 film in MP4, of uint8 RGB frames [H, W, 3], H and W even, that browsers can wind to any second."""
    film = io.BytesIO()
    options = {"crf": "30", "preset": "veryfast", "g": str(max(1, round(fps)))}
    with av.open(film, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=options)
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = frames[0].shape[:2]
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return film.getvalue()


class VideoWriter:
    """An H.264 file of composed frames; use as a context manager.

    Args:
      path: ends in .mp4.
      fps: frames per second; the simulation's rate plays in real time.

    Raises:
      TaskError: the path does not end in .mp4 or its folder does not exist.
    """

    def __init__(self, path: Path, fps: float) -> None:
        check_video_path(path)
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        self._stream.pix_fmt = "yuv420p"

    def add(self, frame: np.ndarray) -> None:
        """Appends one uint8 RGB frame [H, W, 3]; all frames have the first one's size."""
        if not self._stream.codec_context.is_open:
            self._stream.height, self._stream.width = frame.shape[:2]
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()


def check_video_path(path: Path) -> None:
    """Raises TaskError where no video can be written to `path`."""
    if path.suffix != ".mp4":
        raise TaskError(f"--video {path}: the name must end in .mp4.")
    if not path.resolve().parent.is_dir():
        raise TaskError(f"--video {path}: the folder {path.resolve().parent} does not exist; make it first.")
