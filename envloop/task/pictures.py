"""From a camera picture to the 84x84 pixels that a policy sees."""

from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FRAME_SIZE = 84
_SPREAD, _SPOT = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8)
_LAMP = 80  # red less green, or green less red, that no house or tree has
_BODY = np.ones((7, 7), np.uint8)  # in camera pixels: no lamp holds so many in a square, a red car 20 m ahead does
_MIDDLE = {"columns": 0.35, "rows": 0.5}  # of the fovea's middle: camera pixels a pixel, against an even picture's
Bgra = NDArray[np.uint8]


def grey_84(bgra: Bgra) -> NDArray[np.uint8]:
    """[H, W, 4] BGRA uint8 -> [84, 84] uint8 luma (ITU-R BT.601), area-filtered.

    Raises:
      ValueError: not a [H, W, 4] uint8 picture of at least 84x84.
    """
    _check(bgra)
    return _shrunk(cv2.cvtColor(bgra, cv2.COLOR_BGRA2GRAY))


def signal_84(bgra: Bgra) -> NDArray[np.uint8]:
    """[H, W, 4] BGRA uint8 -> [84, 84] uint8: luma at half its contrast, red lamps white spots on it, green ones black.

    A lamp at 15 m is two pixels of the camera's and less than one of 84: its grey is lost in the area filter, and red
    and green are as bright as each other. So red less green is added, and what is small and as red or green as a lamp
    is painted, two pixels larger to every side. Unpainted, a network told the two apart where it had learned, and not
    in other streets.

    Raises:
      ValueError: as `grey_84`.
    """
    grey, colour, lamps = grey_84(bgra), _shrunk(_colour(bgra)), _lamps(bgra, _shrunk)
    picture = np.clip(64 + grey // 2 + colour // 2, 0, 255).astype(np.uint8)
    return _painted(picture, lamps)


def fovea_84(bgra: Bgra) -> NDArray[np.uint8]:
    """[H, W, 4] BGRA uint8 -> [84, 84] uint8: as `signal_84`, with the middle magnified and more of the contrast.

    A person 12 m ahead is 1.5 pixels wide in an even picture, and 4 here. What is lost is at the edges.

    Raises:
      ValueError: as `grey_84`.
    """
    _check(bgra)
    rows, columns = _area_filter(bgra.shape[0], _MIDDLE["rows"]), _area_filter(bgra.shape[1], _MIDDLE["columns"])

    def seen(picture: NDArray[Any]) -> NDArray[np.float32]:
        return rows @ picture.astype(np.float32) @ columns.T

    grey, colour = seen(cv2.cvtColor(bgra, cv2.COLOR_BGRA2GRAY)), seen(_colour(bgra))
    picture = np.rint(np.clip(24.0 + 0.8 * grey + 0.4 * colour, 8.0, 247.0)).astype(np.uint8)
    return _painted(picture, _lamps(bgra, seen))


def blank_84(bgra: Bgra) -> NDArray[np.uint8]:
    """[84, 84] uint8, grey all over: what a policy does that drives by its vector alone."""
    return np.full((FRAME_SIZE, FRAME_SIZE), 128, np.uint8)


PICTURES: dict[str, Callable[[Bgra], NDArray[np.uint8]]] = {
    "grey": grey_84,
    "signals": signal_84,
    "fovea": fovea_84,
    "blank": blank_84,
}


def column_edges(picture: str) -> NDArray[np.float64]:
    """[85] where each of the picture's columns begins and the last one ends, as shares of the camera's width."""
    return _edges(1.0, _MIDDLE["columns"] if picture == "fovea" else 1.0)


def row_edges(picture: str) -> NDArray[np.float64]:
    """[85] the same of its rows, as shares of the camera's height."""
    return _edges(1.0, _MIDDLE["rows"] if picture == "fovea" else 1.0)


def _edges(size: float, middle: float) -> NDArray[np.float64]:
    """[85] edges of 84 pixels over `size`: a cubic, `middle` times as steep in its middle as an even division."""
    t = np.linspace(-1.0, 1.0, FRAME_SIZE + 1)
    return size * 0.5 * (1.0 + middle * t + (1.0 - middle) * t**3)


@cache
def _area_filter(size: int, middle: float) -> NDArray[np.float32]:
    """[84, size] the share that each of `size` pixels has in each of the 84."""
    edges, pixels = _edges(size, middle), np.arange(size)
    covered = np.minimum(edges[1:, None], pixels + 1.0) - np.maximum(edges[:-1, None], pixels)
    covered = np.maximum(covered, 0.0)
    return (covered / covered.sum(axis=1, keepdims=True)).astype(np.float32)


def _check(bgra: Bgra) -> None:
    if bgra.ndim != 3 or bgra.shape[2] != 4 or bgra.dtype != np.uint8 or min(bgra.shape[:2]) < FRAME_SIZE:
        raise ValueError(
            f"A camera picture must be [H, W, 4] uint8 and at least {FRAME_SIZE}x{FRAME_SIZE}, "
            f"not {bgra.shape} {bgra.dtype}."
        )


def _shrunk(picture: NDArray[Any]) -> NDArray[Any]:
    return cv2.resize(picture, (FRAME_SIZE, FRAME_SIZE), interpolation=cv2.INTER_AREA)


def _red_less_green(bgra: Bgra) -> NDArray[np.int16]:
    return cv2.subtract(bgra[..., 2], bgra[..., 1], dtype=cv2.CV_16S)  # type: ignore[return-value]


def _colour(bgra: Bgra) -> NDArray[np.int16]:
    """[H, W] red less green, what is red and what is green a pixel larger to every side."""
    difference = _red_less_green(bgra)
    signs = [cv2.dilate(np.maximum(sign * difference, 0), _SPREAD) for sign in (1, -1)]
    return signs[0] - signs[1]  # type: ignore[return-value]


def _lamps(bgra: Bgra, seen: Callable[[NDArray[Any]], NDArray[Any]]) -> list[NDArray[np.uint8]]:
    """[84, 84] where green lamps are seen, and where red ones."""
    difference = _red_less_green(bgra)
    coloured = [(sign * difference > _LAMP).astype(np.uint8) for sign in (-1, 1)]
    return [(seen(_small(each).astype(np.float32)) > 0.0).astype(np.uint8) for each in coloured]


def _small(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W] without the patches that hold `_BODY`."""
    bodies = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _BODY)
    if not bodies.any():
        return mask
    _, patches = cv2.connectedComponents(mask)
    return mask * ~np.isin(patches, np.unique(patches[bodies > 0]))


def _painted(picture: NDArray[np.uint8], lamps: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    for lamp, paint in zip(lamps, (0, 255), strict=True):
        picture[cv2.dilate(lamp, _SPOT) > 0] = paint
    return picture
