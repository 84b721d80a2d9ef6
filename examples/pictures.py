"""Drives route 0 with the scripted follower and saves what the README shows: python examples/pictures.py docs

An example of CarlaEnv without a learner: any policy can stand where the follower stands.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from envloop.baselines.policies import follower
from envloop.config import EnvConfig
from envloop.drawing.birdseye import BirdsEye, lane_polygons
from envloop.env import CarlaEnv

folder = Path(sys.argv[1])
env = CarlaEnv(EnvConfig(scenario="0"), render_mode="rgb_array")
obs, info = env.reset(seed=3, options={"start": "beginning"})
policy, track, views, ended = follower(env, 3), [], [], False
while not ended:
    obs, reward, terminated, truncated, info = env.step(policy(obs))
    ended = terminated or truncated
    track.append((info["ego"]["x"], info["ego"]["y"]))
    grey = cv2.cvtColor(cv2.resize(obs["image"][-1], (144, 144)), cv2.COLOR_GRAY2RGB)
    views.append(np.concatenate([env.render(), grey], axis=1))
print(f"{info['reason']}, {info['episode']['duration_s']:.1f} s, {info['episode']['mean_speed_kmh']:.1f} km/h")

chosen = [views[int(share * (len(views) - 1))] for share in (0.1, 0.35, 0.6, 0.78, 0.84, 0.95)]
sheet = np.concatenate([np.concatenate(chosen[i : i + 3], axis=1) for i in (0, 3)])
route = BirdsEye(lane_polygons(env.simulator.map), env.route_task.route.points[:, :2])
for name, picture in (("camera.png", sheet), ("route.png", route.overview([np.array(track)]))):
    cv2.imwrite(str(folder / name), picture[..., ::-1])
env.close()
