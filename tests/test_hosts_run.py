"""One policy learned by two hosts, here two processes with a device each, which meet over this machine's loopback."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from processes import ended, started, until
from test_gym_run import command
from test_train import ROOT, final_parameters

from avtd3_jax.errors import ConfigError
from avtd3_jax.settings.run_config import parse
from envloop.free_ports import free_ports

# Every update waits for the other process, which has to be given a core first: few of them.
FEW = {"exploration_steps": 150, "updates_per_step": 0.25, "batch_size": 16, "agent.hidden": "(16,16)"}
SMALL = {"devices": "all", "eval_every": 0, "hosts.count": 2, **FEW}


@contextlib.contextmanager
def both(commands, **options):
    """Both hosts' processes."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(started(each, stderr=subprocess.STDOUT, **options)) for each in commands]


def trainings(folder, *extra, **values):
    """Both hosts' commands, each with a run directory of its own."""
    meet = {**SMALL, "hosts.coordinator": f"127.0.0.1:{free_ports()}", **values}
    return [command(folder / str(number), *extra, **meet, **{"hosts.number": number}) for number in (0, 1)]


def episodes_of(folder, number):
    log = folder / str(number) / "episodes.jsonl"
    return log.read_text().splitlines() if log.exists() else []


def test_both_end_when_one_is_told_to_and_have_the_same_policy_when_they_go_on(tmp_path):
    with both(trainings(tmp_path, total_steps=1_000_000)) as processes:
        until(lambda: all(episodes_of(tmp_path, number) for number in (0, 1)), *processes)
        processes[1].send_signal(signal.SIGTERM)
        codes, said = ended(*processes)
    assert codes == [128 + signal.SIGTERM] * 2, said
    assert all("2 devices share each batch" in text for text in said)

    shutil.rmtree(tmp_path / "1" / "checkpoints")  # as of a host that was killed before its first one
    total = 200 * (2 + len(episodes_of(tmp_path, 0)))
    with both(trainings(tmp_path, "--resume", total_steps=total)) as processes:
        codes, said = ended(*processes)
    assert codes == [0, 0], said
    assert [int(re.search(r"steps, (\d+) updates", text)[1]) for text in said] == [(total - 150) // 4] * 2
    ours, others = (final_parameters(tmp_path / number) for number in ("0", "1"))
    assert set(ours) == set(others)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, others[name])
    returns = [[line.partition('"return"')[2][:20] for line in episodes_of(tmp_path, n)] for n in (0, 1)]
    assert not set(returns[0]) & set(returns[1]), "each host drives its own episodes"


def test_a_host_that_does_not_reach_the_first_one_ends_with_a_sentence(tmp_path):
    nowhere = f"127.0.0.1:{free_ports()}"
    meet = {"hosts.number": 1, "hosts.coordinator": nowhere, "hosts.start_timeout_s": 1}
    done = subprocess.run(command(tmp_path, **SMALL, **meet), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"train: The first host is not there: config.hosts.coordinator={nowhere} did not answer" in done.stderr


def test_two_hosts_learn_what_one_does_and_the_one_that_is_left_ends_with_a_sentence(tmp_path):
    """From the first one's checkpoint, with half a batch each; then the second is killed, between two updates."""
    script, port = str(ROOT / "tests" / "avtd3_jax" / "two_hosts.py"), str(free_ports())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with both(
        [[sys.executable, script, number, port, tmp_path] for number in ("0", "1")], env=environment
    ) as processes:
        codes, said = ended(*processes)
    assert codes == [1, -signal.SIGKILL], said
    assert "Traceback" not in said[0]
    assert re.search(r"^two_hosts: Another host is lost \(.+\): resume all with --resume\.$", said[0], re.MULTILINE)
    apart = [float(re.search(r"^[\d.e-]+$", text, re.MULTILINE)[0]) for text in said]
    assert max(apart) <= 1e-6


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"hosts": {"count": 2}}, "config.hosts.coordinator is '' and hosts.count 2"),
        ({"hosts": {"count": 2, "number": 2, "coordinator": "a:1"}}, "config.hosts.number is 2: it must be 0 to 1"),
        ({"hosts": {"count": 2, "coordinator": "a:1"}}, "so set devices=all"),
        ({"hosts": {"count": 2, "coordinator": "a"}}, "config.hosts.coordinator is 'a': it must be HOST:PORT"),
        ({"hosts": {"start_timeout_s": 0.0}}, "config.hosts.start_timeout_s is 0.0: it must be at least 1"),
    ],
)
def test_hosts_that_cannot_be_are_refused(values, sentence):
    with pytest.raises(ConfigError) as refused:
        parse(values)
    assert sentence in str(refused.value)
