"""Several devices train from the command line."""

from test_gym_run import command
from test_train import run


def test_eight_devices_train_from_the_command_line_and_one_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
    small = {"exploration_steps": 200, "eval_every": 0, "device": "cpu", "agent.hidden": "(16,16)"}
    done = run(command(tmp_path / "8", total_steps=260, devices="all", **small))
    assert done.returncode == 0, done.stderr
    assert "8 devices" in done.stdout
    done = run(command(tmp_path / "8", "--resume", total_steps=300, devices="1", **small))
    assert done.returncode == 0, done.stderr
    assert "300 steps" in done.stdout
