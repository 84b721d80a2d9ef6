"""Pictures of what the networks look at: heat over a camera picture, and a sheet of the first layer."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from avtd3_jax.analysis.saliency import FirstLayer

Picture = NDArray[np.uint8]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK, _FAINT, _PAPER = (240, 240, 240), (165, 165, 165), 24
_BAR = 32  # height of a panel's caption
_SHEET_WIDTH, _MARGIN, _COLUMNS, _GAP = 1280, 16, 8, 8


def heat_panel(camera: Picture, heat: NDArray[np.float32], caption: str, width: int) -> Picture:
    """A camera picture, grey, with heat over it, and a caption and the scale of its colours above.

    Args:
      camera: uint8 RGB [H, W, 3].
      heat: float32 [panel_height, width], 0 to 1.
      caption: one short line.
      width: pixels.

    Returns:
      uint8 RGB [32 + panel_height, width, 3].
    """
    height = panel_height(camera, width)
    grey = cv2.cvtColor(cv2.resize(camera, (width, height), interpolation=cv2.INTER_LINEAR), cv2.COLOR_RGB2GRAY)
    shown = np.sqrt(np.clip(heat, 0.0, 1.0))  # so that a quarter of the heat is still seen well
    share = 0.8 * shown[..., None]
    picture = (1.0 - share) * grey[..., None] + share * _coloured(shown)
    bar = np.full((_BAR, width, 3), _PAPER, np.uint8)
    _write(bar, caption, (10, 21), 0.5)
    bar[12:22, width - 70 : width - 10] = _coloured(np.linspace(0.0, 1.0, 60)[None])
    return np.concatenate([bar, picture.astype(np.uint8)])


def panel_height(camera: Picture, width: int) -> int:
    """Height of a heat panel's picture: the camera's shape, a multiple of 16 as video codecs want."""
    return 16 * round(camera.shape[0] * width / camera.shape[1] / 16)


def first_layer_sheet(layer: FirstLayer, frames: Picture, aspect: float, title: str) -> Picture:
    """The frames that the encoder got, and every filter of its first convolution with the map that it makes of them.

    Args:
      layer: from `GradCam.first_layer`.
      frames: uint8 [S, H, W], oldest first.
      aspect: width to height of what a frame shows; the frames themselves may be squeezed.
      title: one line.

    Returns:
      uint8 RGB [any, 1280, 3].
    """
    pitch = (_SHEET_WIDTH - 2 * _MARGIN) // _COLUMNS
    cells = [_filter_cell(layer, i, pitch, aspect) for i in range(layer.kernel.shape[-1])]
    cells += [np.full_like(cells[0], _PAPER)] * (-len(cells) % _COLUMNS)
    rows = [np.concatenate(cells[i : i + _COLUMNS], axis=1) for i in range(0, len(cells), _COLUMNS)]
    sheet = np.concatenate([_sheet_header(frames, aspect, title), *(_widened(row) for row in rows)])
    return np.pad(sheet, ((_MARGIN, _MARGIN), (0, 0), (0, 0)), constant_values=_PAPER)


def _sheet_header(frames: Picture, aspect: float, title: str) -> Picture:
    width = (_SHEET_WIDTH - 2 * _MARGIN) // len(frames) - _GAP
    height = round(width / aspect)
    head = np.full((height + 118, _SHEET_WIDTH, 3), _PAPER, np.uint8)
    _write(head, title, (_MARGIN, 18), 0.6)
    _write(head, "What the encoder gets: stacked grey frames, oldest to newest", (_MARGIN, 44), 0.45, _FAINT)
    for i, frame in enumerate(frames):
        left = _MARGIN + i * (width + _GAP)
        large = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
        head[52 : 52 + height, left : left + width] = large[..., None]
    lines = (
        "Its first convolution: for each filter its weights on each frame, oldest to newest "
        "(blue < 0, white 0, red > 0, to its largest weight), and under them",
        "the map that it makes of these frames (black 0, yellow the largest value, which is written on the right; "
        "what is negative is black).",
    )
    for i, line in enumerate(lines):
        _write(head, line, (_MARGIN, height + 78 + 20 * i), 0.42, _FAINT)
    return head


def _filter_cell(layer: FirstLayer, index: int, pitch: int, aspect: float) -> Picture:
    kernel, seen = layer.kernel[..., index], layer.maps[..., index]
    inner, frames = pitch - _GAP, kernel.shape[-1]
    tile = (inner - 2 * (frames - 1)) // frames
    height = round(inner / aspect)
    cell = np.full((18 + tile + 3 + height + _GAP, pitch, 3), _PAPER, np.uint8)
    peak = float(seen.max())
    _write(cell, f"{index}", (0, 13), 0.4)
    _write(cell, f"{max(peak, 0.0):.2f}", (inner - 32, 13), 0.4, _FAINT)
    for i, weights in enumerate(_signed(kernel / max(float(np.abs(kernel).max()), 1e-12)).transpose(2, 0, 1, 3)):
        left = i * (tile + 2)
        cell[18 : 18 + tile, left : left + tile] = cv2.resize(weights, (tile, tile), interpolation=cv2.INTER_NEAREST)
    large = cv2.resize(_coloured(seen / max(peak, 1e-12)), (inner, height), interpolation=cv2.INTER_NEAREST)
    cell[21 + tile : 21 + tile + height, :inner] = large
    return cell


def _coloured(heat: NDArray[np.floating]) -> Picture:
    """[h, w] from 0 to 1 -> RGB [h, w, 3], black over red to yellow."""
    levels = np.round(np.clip(heat, 0.0, 1.0) * 255.0).astype(np.uint8)
    return cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]


def _signed(weights: NDArray[np.floating]) -> Picture:
    """[...] from -1 to 1 -> RGB [..., 3], blue over white to red."""
    share = np.clip(np.abs(weights), 0.0, 1.0)[..., None]
    end = np.where(weights[..., None] > 0.0, np.array([200.0, 20.0, 35.0]), np.array([25.0, 75.0, 200.0]))
    return np.round((1.0 - share) * 255.0 + share * end).astype(np.uint8)


def _widened(row: Picture) -> Picture:
    right = _SHEET_WIDTH - _MARGIN - row.shape[1]
    return np.pad(row, ((0, 0), (_MARGIN, right), (0, 0)), constant_values=_PAPER)


def _write(picture: Picture, text: str, at: tuple[int, int], size: float, colour: Sequence[int] = _INK) -> None:
    cv2.putText(picture, text, at, _FONT, size, colour, 1, cv2.LINE_AA)
