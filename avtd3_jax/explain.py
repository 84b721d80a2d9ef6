"""python -m avtd3_jax.explain --checkpoint runs/NAME: drives one episode and shows what the networks look at.

Writes a video (what the critic and the actor look at, by Grad-CAM, under the camera picture and the drive from above)
and a sheet with the filters of the encoder's first layer and what they make of one moment of the drive.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
import numpy as np

from avtd3_jax.analysis.pictures import first_layer_sheet, heat_panel, panel_height
from avtd3_jax.analysis.saliency import Explanation, GradCam
from avtd3_jax.commands import run_command
from avtd3_jax.console import Progress
from avtd3_jax.errors import ConfigError, RunDirectoryError
from avtd3_jax.evaluation.episodes import always, drive
from avtd3_jax.evaluation.opening import Network, add_shared_options, opened
from avtd3_jax.evaluation.report import NETWORK, task_name
from avtd3_jax.evaluation.scene import Scene
from avtd3_jax.seeding import RunStream, episode_seed
from avtd3_jax.settings.config_file import split_options
from avtd3_jax.training.run_directory import check_writable
from envloop.config import EnvConfig
from envloop.drawing.video import VideoWriter
from envloop.env import CarlaEnv
from envloop.task.pictures import column_edges, row_edges

# Heat is drawn against the largest of the last moments, so that a picture in which nothing matters is not all aglow.
_FORGETTING = 0.95  # per decision: a peak counts half after 14


class ExplainedDrive:
    """Policy and step hook of `evaluation.episodes.drive`, which add a frame a decision to `video`.

    fastest: the observation at the highest speed so far, m/s, where the frames of a stack differ most.
    """

    def __init__(self, network: Network, env: CarlaEnv, video: VideoWriter, progress: Progress) -> None:
        shown = env.config.picture
        self._cam = GradCam(network.agent, (row_edges(shown), column_edges(shown)))
        self._params = network.params
        self._env = env
        self._video = video
        self._progress = progress
        self._scene = Scene()
        self._peaks = np.zeros(0, np.float32)
        self._decided: tuple[dict[str, np.ndarray], np.ndarray, Explanation] | None = None
        self.fastest: tuple[float, dict[str, np.ndarray]] = (-1.0, {})

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """The policy's action [2]."""
        camera = self._env.render()
        assert camera is not None
        self._decided = observation, camera, self._cam(self._params, observation)
        return self._decided[2].action

    def on_step(self, env: gym.Env, action: np.ndarray, info: Mapping[str, Any]) -> None:
        """Adds the decision's frame to the video: how it went, and why, over the picture that it was made of."""
        assert self._decided is not None
        observation, camera, explanation = self._decided
        scene = self._scene(self._env, action, info, {"value": explanation.value})
        self._video.add(np.concatenate([scene, self._panels(camera, explanation, scene.shape[1])]))
        speed = info["ego"]["speed_mps"]
        if speed > self.fastest[0]:
            self.fastest = speed, observation
        self._progress.set_postfix_str(f"{info['route_completion']:.0%} of the route", refresh=False)
        self._progress.update()

    def sheet(self, title: str) -> np.ndarray:
        """The first layer at the fastest moment, uint8 RGB."""
        speed, observation = self.fastest
        config = self._env.config.camera
        layer = self._cam.first_layer(self._params, observation)
        aspect = config.width / config.height
        return first_layer_sheet(layer, observation["image"], aspect, f"{title}, at {3.6 * speed:.0f} km/h")

    def _panels(self, camera: np.ndarray, explanation: Explanation, total_width: int) -> np.ndarray:
        """A panel for the value and one for each number of the action, side by side."""
        largest = explanation.cams.max(axis=(1, 2))
        self._peaks = np.maximum(largest, _FORGETTING * self._peaks) if self._peaks.size else largest
        width = total_width // len(largest)
        steer, accel = explanation.action
        captions = (
            f"critic: what raises the value ({explanation.value:.1f})",
            f"actor: what speaks for steering {'right' if steer > 0 else 'left'} ({abs(steer):.2f})",
            f"actor: what speaks for {'throttle' if accel > 0 else 'brake'} ({abs(accel):.2f})",
        )
        panels = []
        for cam, peak, caption in zip(explanation.cams, self._peaks, captions, strict=True):
            heat = self._cam.placed(cam / max(peak, np.float32(1e-12)), width, panel_height(camera, width))
            panels.append(heat_panel(camera, heat, caption, width))
        row = np.concatenate(panels, axis=1)
        return np.pad(row, ((0, 0), (0, total_width - row.shape[1]), (0, 0)))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m avtd3_jax.explain", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="directory of a training run, runs/NAME")
    parser.add_argument("--route", help="a route's name or 'X,Y -> X,Y' in metres (default: as trained)")
    add_shared_options(parser)
    parser.set_defaults(config=None, policy=NETWORK)
    parser.add_argument("--out", type=Path, help="folder to write to (default: explain in the run's directory)")
    work = partial(_main, parser, sys.argv[1:] if argv is None else argv)
    return run_command("explain", work, "interrupted; the video holds what was driven so far.")


def _main(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    rest, changes = split_options(argv)
    args = parser.parse_args(rest, argparse.Namespace(changes=changes))
    with opened(args, render=True) as opening:
        env, config, network = opening.env, opening.run.env, opening.network
        assert network is not None
        if not isinstance(env, CarlaEnv) or not isinstance(config, EnvConfig):
            raise ConfigError("explain shows drives in CARLA and minicarla; this run's environment is Gymnasium's.")
        if "critic" not in network.params:
            raise ConfigError(f"{args.checkpoint} holds a policy without its critics: explain needs the run itself.")
        folder: Path = args.out or args.checkpoint / "explain"
        check_writable(folder)
        where = {"suite": None, "route": config.route, "scenario": config.scenario, "seed": opening.seed}
        of = {**where, "changes": opening.changes, "simulator": opening.simulator}
        name = task_name(f"step-{network.step:07d}", of)
        video_path, sheet_path = folder / f"{name}.mp4", folder / f"{name}_first-layer.png"
        encoder = opening.run.agent.encoder
        print(f"explains   {encoder}: the critic's value and the actor's action, one episode")
        limit = round(env.route_task.limit_s / config.decision_s)
        with (
            VideoWriter(video_path, fps=1.0 / config.decision_s) as video,
            Progress(total=limit, unit="step") as progress,
        ):
            explained = ExplainedDrive(network, env, video, progress)
            seed = episode_seed(opening.seed, RunStream.EVALUATION, 0)
            metrics = drive(env, config, always(explained.act), seed, explained.on_step)
        title = f"Encoder {encoder!r} of run {args.checkpoint.resolve().name!r}, step {network.step:,}"
        if not cv2.imwrite(str(sheet_path), explained.sheet(title)[..., ::-1]):
            raise RunDirectoryError(f"{sheet_path} could not be written: is the disk full?")
    print(f"drove      {metrics['route_completion']:.0%} of the route in {metrics['duration_s']:.0f} s")
    print(f"written to {video_path} and {sheet_path}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
