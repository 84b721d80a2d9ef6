"""Batches whose frames come from the device are the batches that the host's ring gives."""

import threading

import jax
import numpy as np
import pytest
from learner_cases import BOTH, VECTOR, copy_replay

from avtd3_jax.agent.spaces import ActionSpec
from avtd3_jax.replay import device_replay
from avtd3_jax.replay.device_replay import DeviceReplay
from avtd3_jax.replay.replay import FrameReplay

ACTION = ActionSpec(2)


def drive(ring, steps, seed, episode=23):
    """Adds `steps` observations of random frames, in episodes, from a rest of one where there is one."""
    rng = np.random.default_rng(seed)
    stack = None
    for step in range(steps):
        frame = rng.integers(0, 256, (1, 36, 36), np.uint8)
        vector = rng.random(5, np.float32)
        if stack is None:
            stack = np.repeat(frame, 4, axis=0)
            ring.begin_episode({"image": stack, "vector": vector})
            continue
        stack = np.concatenate([stack[1:], frame])
        ended = step % episode == episode - 1
        ring.add(rng.uniform(-1, 1, 2), step, {"image": stack, "vector": vector}, ended, False)
        if ended:
            stack = None
    ring.end_torn_episode()


def make(kind, capacity=120):
    return FrameReplay(BOTH, ACTION, capacity, 3 if kind == "rings" else 1, seed=5)


def assert_same_batches(host, device, draws=3):
    for _ in range(draws):
        for mine, other in zip(device.sample(32), host.sample(32), strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("kind", ["one", "rings"])
@pytest.mark.parametrize("large", [16, 1024])
def test_the_same_transitions_with_the_same_pictures(kind, large, monkeypatch):
    """While the ring fills, after it has wrapped, and after more was added than it holds."""
    monkeypatch.setattr(device_replay, "_LARGE", large)
    host, mirrored = make(kind), make(kind)
    device = DeviceReplay(mirrored)
    for round_, steps in enumerate((7, 1, 30, 97, 300)):
        for replay in (host, mirrored):
            for number, ring in enumerate(replay.rings):
                drive(ring, steps + number, seed=10 * round_ + number)
        assert_same_batches(host, device)


@pytest.mark.parametrize("kind", ["one", "rings"])
def test_a_restored_replay_goes_on_with_its_own_frames(kind):
    saved, mirrored = make(kind), make(kind)
    device = DeviceReplay(mirrored)
    for seed, replay in enumerate((saved, mirrored)):
        for ring in replay.rings:
            drive(ring, 150, seed)
    device.sample(8)
    copy_replay(saved, mirrored)
    assert_same_batches(saved, device)


def test_a_state_saved_beside_a_device_copy_is_that_of_the_host():
    host, mirrored = make("one"), make("one")
    device = DeviceReplay(mirrored)
    for replay in (host, mirrored):
        drive(replay, 90, 1)
    device.sample(32), host.sample(32)
    restored = make("one")
    copy_replay(mirrored, restored)
    for mine, other in zip(restored.sample(32), host.sample(32), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_sampling_while_another_thread_adds_never_mixes_frames():
    """Frames carry their step's number, so that a stack which mixes times shows; the ring is small and wraps often."""
    replay = FrameReplay(BOTH, ACTION, 40)
    device = DeviceReplay(replay)
    stopping = threading.Event()

    def add():
        number = 0
        while not stopping.is_set():
            image = np.full((4, 36, 36), number % 251, np.uint8)
            replay.begin_episode({"image": image, "vector": np.zeros(5, np.float32)})
            for _ in range(11):
                number += 1
                image = np.concatenate([image[1:], np.full((1, 36, 36), number % 251, np.uint8)])
                vector = np.full(5, number % 251, np.float32)
                replay.add(np.zeros(2), 0.0, {"image": image, "vector": vector}, False, False)
            replay.end_torn_episode()
            number += 1
            stopping.wait(1e-4)

    thread = threading.Thread(target=add)
    thread.start()
    try:
        while len(replay) < 20:
            stopping.wait(1e-3)
        for _ in range(50):
            batch = device.sample(16)
            frames = np.asarray(batch.frames)
            assert (frames == frames[:, :, :1, :1]).all()
            values = frames[:, :, 0, 0].astype(int)
            np.testing.assert_array_equal(values[:, -1], batch.next_vector[:, 0])
            assert set(np.unique(np.diff(values, axis=1) % 251)) <= {0, 1}
    finally:
        stopping.set()
        thread.join()


def test_the_memory_is_told_and_checked(monkeypatch):
    replay = FrameReplay(BOTH, ACTION, 100)
    assert DeviceReplay(replay).nbytes == DeviceReplay.bytes_of(replay) == 100 * 36 * 36

    class Small:
        platform = "gpu"

        def memory_stats(self):
            return {"bytes_limit": 100_000, "bytes_in_use": 10_000}

    monkeypatch.setattr(jax, "local_devices", lambda: [Small()])
    with pytest.raises(ValueError, match=r"need 0\.00 GB on .* lower replay.capacity"):
        DeviceReplay(replay)


def test_observations_without_an_image_are_refused():
    with pytest.raises(ValueError, match="have no image"):
        DeviceReplay(FrameReplay(VECTOR, ACTION, 100))
