"""A script that forgets to close its environment ends like any other: no abort, no complaint, no server left."""

import re
import subprocess
import sys

import psutil

SCRIPT = """
import gymnasium, envloop
env = gymnasium.make("avtd3/Carla-v0")
env.reset(seed=0)
env.step([0.0, 0.5])
print("server", env.unwrapped.simulator.server_pid)
"""


def test_an_environment_left_open_is_closed_at_the_end_of_the_process():
    for _ in range(3):  # without it, one process in three aborted
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        assert "sensor object went out of the scope" not in done.stdout
        assert not psutil.pid_exists(int(re.search(r"server (\d+)", done.stdout)[1]))
