"""One policy learned by two hosts, here two processes with a device each, which meet over this machine's loopback."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_gym_run import command
from test_train import ROOT, final_parameters

from avtd3_jax.errors import ConfigError
from avtd3_jax.settings.run_config import parse
from envloop.free_ports import free_ports

PATIENCE_S = 200
SMALL = {"devices": "all", "exploration_steps": 100, "batch_size": 16, "eval_every": 0, "hosts.count": 2}


def started(folder, *extra, **values):
    """Both hosts' processes, each with a run directory of its own."""
    meet = {**SMALL, "hosts.coordinator": f"127.0.0.1:{free_ports()}", **values}
    return [
        subprocess.Popen(
            command(folder / str(number), *extra, **meet, **{"hosts.number": number}),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in (0, 1)
    ]


def ended(processes):
    said = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
    return [process.returncode for process in processes], said


def test_both_stop_when_one_is_told_to_and_end_with_the_same_policy_when_they_go_on(tmp_path):
    processes = started(tmp_path, total_steps=1_000_000)
    log = tmp_path / "1" / "episodes.jsonl"
    deadline = time.monotonic() + PATIENCE_S
    while not (log.exists() and log.read_bytes()):
        assert [process.poll() for process in processes] == [None, None], ended(processes)
        assert time.monotonic() < deadline
        time.sleep(0.2)
    processes[1].send_signal(signal.SIGTERM)
    codes, said = ended(processes)
    assert codes == [128 + signal.SIGTERM] * 2, said
    codes, said = ended(started(tmp_path, "--resume", total_steps=700))
    assert codes == [0, 0], said
    assert all("2 devices share each batch" in text for text in said)
    assert [re.search(r"700 steps, (\d+) updates", text)[1] for text in said] == ["600", "600"]
    ours, others = (final_parameters(tmp_path / number) for number in ("0", "1"))
    for name, array in ours.items():
        np.testing.assert_array_equal(array, others[name])
    returns = [[line.partition('"return"')[2][:20] for line in (tmp_path / n / "episodes.jsonl").open()] for n in "01"]
    assert not set(returns[0]) & set(returns[1]), "each host drives its own episodes"


def test_two_hosts_with_half_a_batch_each_learn_what_one_learns_of_it():
    script, port = str(ROOT / "tests" / "avtd3_jax" / "two_hosts.py"), str(free_ports())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    hosts = [
        subprocess.Popen([sys.executable, script, number, port], env=environment, stdout=subprocess.PIPE, text=True)
        for number in ("0", "1")
    ]
    codes, said = ended(hosts)
    assert codes == [0, 0]
    assert all(float(text.splitlines()[-1]) <= 1e-6 for text in said)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"hosts": {"count": 2}}, "config.hosts.coordinator is '' and hosts.count 2"),
        ({"hosts": {"count": 2, "number": 2, "coordinator": "a:1"}}, "config.hosts.number is 2: it must be 0 to 1"),
        ({"hosts": {"count": 2, "coordinator": "a:1"}}, "so set devices=all"),
    ],
)
def test_hosts_that_cannot_be_are_refused(values, sentence):
    with pytest.raises(ConfigError) as refused:
        parse(values)
    assert sentence in str(refused.value)
