"""Makes every picture of the documentation: python examples/pictures.py docs --checkpoint runs/NAME

Without --checkpoint the drive of a trained policy, `drive.webp`, is left as it is. `follower_pictures` is an example of
CarlaEnv without a learner: any policy can stand where the follower stands.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import architecture_picture
import av
import cv2
import numpy as np
from PIL import Image

from envloop.baselines.policies import follower
from envloop.config import EnvConfig
from envloop.drawing.birdseye import BirdsEye, lane_polygons
from envloop.env import CarlaEnv

_WIDTH, _EVERY, _FRAME_MS = 720, 2, 100  # every second frame of 0.1 s, each shown for 0.1 s: twice real speed


def follower_pictures(folder: Path) -> None:
    """camera.png and route.png: route 0 among 20 vehicles, driven by the scripted follower."""
    env = CarlaEnv(EnvConfig(scenario="0"), render_mode="rgb_array")
    obs, info = env.reset(seed=3, options={"start": "beginning"})
    policy, track, views, ended = follower(env, 3), [], [], False
    while not ended:
        obs, _, terminated, truncated, info = env.step(policy(obs))
        ended = terminated or truncated
        track.append((info["ego"]["x"], info["ego"]["y"]))
        grey = cv2.cvtColor(cv2.resize(obs["image"][-1], (144, 144)), cv2.COLOR_GRAY2RGB)
        views.append(np.concatenate([env.render(), grey], axis=1))
    print(f"{info['reason']}, {len(views)} decisions")

    chosen = [views[int(share * (len(views) - 1))] for share in (0.1, 0.35, 0.6, 0.78, 0.84, 0.95)]
    sheet = np.concatenate([np.concatenate(chosen[i : i + 3], axis=1) for i in (0, 3)])
    route = BirdsEye(lane_polygons(env.simulator.map), env.route_task.route.points[:, :2])
    for name, picture in (("camera.png", sheet), ("route.png", route.overview([np.array(track)]))):
        cv2.imwrite(str(folder / name), picture[..., ::-1])
    env.close()


def drive_picture(checkpoint: Path, path: Path) -> None:
    """An animated picture of one evaluation episode of a trained policy: camera, and the drive from above."""
    with tempfile.TemporaryDirectory() as scratch:
        video = Path(scratch, "drive.mp4")
        command = [sys.executable, "-m", "avtd3_jax.evaluate", "--checkpoint", str(checkpoint), "--episodes", "1"]
        subprocess.run([*command, "--video", str(video), "--workdir", scratch], check=True)
        with av.open(str(video)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][::_EVERY]
    pictures = [Image.fromarray(_labelled(frame)) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=_FRAME_MS, loop=0, quality=55, method=6)


def _labelled(frame: np.ndarray) -> np.ndarray:
    """The frame, smaller, with the simulator's name in a corner: nobody should take it for CARLA."""
    small = cv2.resize(frame, (_WIDTH, round(frame.shape[0] * _WIDTH / frame.shape[1])), interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    corner = small[height - 24 :, width - 100 :]
    corner[:] = corner // 3
    origin, white = (width - 91, height - 8), (255, 255, 255)
    cv2.putText(small, "minicarla", origin, cv2.FONT_HERSHEY_SIMPLEX, 0.5, white, 1, cv2.LINE_AA)
    return small


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the pictures go: docs")
    parser.add_argument("--checkpoint", type=Path, help="a run that has learned route 0, for drive.webp")
    args = parser.parse_args()
    architecture_picture.draw(args.folder / "architecture.png")
    suite = args.folder / "town01-nav.png"
    subprocess.run([sys.executable, "-m", "envloop.suites", "draw", "town01-nav", str(suite)], check=True)
    follower_pictures(args.folder)
    if args.checkpoint is not None:
        drive_picture(args.checkpoint, args.folder / "drive.webp")


if __name__ == "__main__":
    main()
