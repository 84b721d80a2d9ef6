"""What an evaluation leaves to look at: clips of how episodes failed, and outlines of the roads that were driven.

A run's `evaluations/clips/` holds for each failed episode an MP4 and a JSON of its numbers, step by step, and never
more than `MOST` of them; `evaluations/maps/` the roads of each town, once.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avtd3_jax.whole_files import write_whole

MOST = 200  # clips in a folder: some 10 MB; the oldest go first


class Recordings:
    """Writes the recordings of one evaluation's episodes, in order, as they end.

    What cannot be written is told of in a warning, once, and ends nothing.

    Args:
      folder: where the evaluation's JSON file goes.
      name: of that file, without its ending.
      town: name of the map.
    """

    options: Mapping[str, Any] = {"record": True}  # for the environment's reset

    def __init__(self, folder: Path, name: str, town: str) -> None:
        self._folder = folder
        self._name = name
        self._town = town
        self._map: dict[str, str] = {}
        self._told = False

    def began(self, info: Mapping[str, Any]) -> None:
        """An episode was begun; `info` is that of its reset."""
        if "lanes" in info and not self._map:
            lanes = [[[round(float(x), 1), round(float(y), 1)] for x, y in lane] for lane in info["lanes"]]
            text = json.dumps({"town": self._town, "lanes": lanes}, separators=(",", ":"))
            name = f"maps/{Path(self._town).name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
            if self._written(name, text.encode()):
                self._map = {"map": name}

    def ended(self, number: int, info: Mapping[str, Any]) -> dict[str, str]:
        """Episode `number` ended with `info`; what to add to its entry: paths as seen from the folder."""
        clip = info.get("clip")
        if clip is None:
            return dict(self._map)
        name = f"clips/{self._name}_{number}"
        steps = json.dumps({"fps": clip["fps"], **clip["steps"]}, separators=(",", ":"))
        if not (self._written(f"{name}.mp4", clip["video"]) and self._written(f"{name}.json", steps.encode())):
            return dict(self._map)
        self._remove_oldest()
        return {**self._map, "clip": name}

    def _remove_oldest(self) -> None:
        clips = sorted((self._folder / "clips").glob("*.mp4"), key=lambda path: path.stat().st_mtime_ns)
        for path in clips[: max(0, len(clips) - MOST)]:
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)

    def _written(self, name: str, data: bytes) -> bool:
        path = self._folder / name
        try:
            write_whole(path, data)
        except OSError as error:
            if not self._told:
                warnings.warn(
                    f"{path} cannot be written ({error.strerror}): a report will lack what this evaluation shows.",
                    stacklevel=2,
                )
            self._told = True
            return False
        return True
