"""What people see of a drive is what happened, and looking at it changes nothing."""

import io
import itertools
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from envloop.config import EnvConfig
from envloop.drawing.birdseye import EGO, NPC
from envloop.env import CarlaEnv
from envloop.spectator import CLIP_S

SWERVE = np.array([0.6, 0.7], np.float32)


@pytest.fixture(scope="module")
def env():
    made = CarlaEnv(EnvConfig(scenario="2", npc_clearance_m=8.0))
    yield made
    made.close()


def drive(env: CarlaEnv, record: bool, action=SWERVE) -> tuple[list, dict, dict]:
    """Observations, and the `info` of the first and of the last step."""
    obs, first = env.reset(seed=5, options={"start": "beginning", "record": record})
    seen, ended = [obs], False
    while not ended:
        obs, _, terminated, truncated, info = env.step(action)
        seen.append(obs)
        ended = terminated or truncated
    return seen, first, info


def frames_of(video: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a picture has about this colour: compressed pictures have no exact ones."""
    return np.abs(picture.astype(int) - colour).max(axis=2) < 45


@pytest.fixture(scope="module")
def recorded(env):
    return drive(env, record=True)


def test_a_failed_episode_has_a_clip_of_every_decision_before_it(env, recorded):
    seen, first, last = recorded
    clip = last["clip"]
    assert last["reason"] != "route_done"
    decisions = len(seen)  # and the first observation
    assert decisions < CLIP_S / env.config.decision_s
    frames = frames_of(clip["video"])
    assert len(frames) == decisions
    assert {len(values) for values in clip["steps"].values()} == {decisions}
    assert clip["fps"] == pytest.approx(1.0 / env.config.decision_s)
    assert clip["steps"]["steer"][1:] == [pytest.approx(0.6)] * (decisions - 1)
    assert clip["steps"]["speed_kmh"][-1] == pytest.approx(3.6 * last["speed_mps"], abs=0.01)
    assert set(clip["steps"]["light"]) <= {"", "red", "yellow", "green"}
    # Every picture is its own decision's: the policy's frames, small, are those of the clip.
    for frame, obs in zip(frames, seen, strict=True):
        small = cv2.resize(cv2.cvtColor(frame[:, :384], cv2.COLOR_RGB2GRAY), (84, 84), interpolation=cv2.INTER_AREA)
        assert np.abs(small.astype(int) - obs["image"][-1]).mean() < 6.0
    assert near(frames[-1][:, 384:], EGO).sum() > 50, "the ego, seen from above"
    assert near(frames[0][:, 384:], NPC).sum() > 50, "another car near it"
    lanes = np.concatenate(first["lanes"])
    assert lanes.min() > -200.0
    assert lanes.max() > 300.0, "the whole town, not what is near"


def test_looking_changes_nothing(env, recorded):
    seen, first, last = drive(env, record=False)
    assert "lanes" not in first
    assert "clip" not in last
    for one, other in zip(seen, recorded[0], strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_a_longer_episode_leaves_its_last_seconds(env):
    _, _, last = drive(env, record=True, action=np.array([0.0, 0.03], np.float32))
    assert last["reason"] == "blocked"
    assert len(last["clip"]["steps"]["steer"]) <= round(CLIP_S / env.config.decision_s)


def test_pictures_come_now_and_then_and_at_the_end():
    env = CarlaEnv(replace(EnvConfig(observation="vector"), pictures_per_s=0.001))
    try:
        _, first, last = drive(env, record=False)
        infos = [first, last]
        for info in infos:
            picture = cv2.imdecode(np.frombuffer(info["picture"], np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == (216, 216, 3), "without a camera the view from above alone"
        env.reset(seed=1, options={"start": "beginning"})
        *_, info = env.step(SWERVE)
        assert "picture" not in info
    finally:
        env.close()


def test_a_camera_picture_stays_what_it_was(env):
    """The client's memory view does not keep what it shows: later pictures would be written over it."""
    env.reset(seed=5, options={"start": "beginning"})
    kept, copies = [], []
    for _ in range(8):
        env.step(SWERVE)
        kept.append(env._picture)
        copies.append(env._picture.copy())
    assert any((one != other).any() for one, other in itertools.pairwise(copies))
    for picture, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(picture, copy)
