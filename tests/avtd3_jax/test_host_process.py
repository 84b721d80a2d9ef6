"""A host's process ends with a sentence where JAX aborts it, and otherwise as if nobody watched it."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from jax.errors import JaxRuntimeError

from avtd3_jax.errors import HostLostError
from avtd3_jax.training import hosts

SENTENCE = "train: JAX ended this host, as it does where another one is lost or never came"


def watching(work):
    """A command that does `work` in the watched process."""
    script = f"""
import os, signal, sys, time
from avtd3_jax.training.host_process import watched
if (code := watched("train")) is not None:
    sys.exit(code)
print(os.getpid(), flush=True)
{textwrap.dedent(work)}
"""
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("work", "code"), [("sys.exit(7)", 7), ("pass", 0), ("os.kill(os.getpid(), 9)", 137)])
def test_the_exit_code_is_that_of_the_run(work, code):
    command = watching(work)
    assert (command.communicate(timeout=200)[1], command.returncode) == ("", code)


def test_an_abort_becomes_a_sentence():
    command = watching("print('why', file=sys.stderr, flush=True); os.abort()")
    _, said = command.communicate(timeout=200)
    assert command.returncode == 1
    why, sentence = said.splitlines()
    assert why == "why"
    assert sentence.startswith(SENTENCE)
    assert sentence.endswith("resume all with --resume.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_handed_on(number):
    command = watching(
        f"signal.signal({number:d}, lambda *_: sys.exit(128 + {number:d})); print('ready', flush=True); time.sleep(60)"
    )
    child = int(command.stdout.readline())
    assert os.getpgid(child) != os.getpgid(command.pid), "a terminal's Ctrl-C would reach both"
    assert command.stdout.readline() == "ready\n"
    command.send_signal(number)
    command.communicate(timeout=200)
    assert command.returncode == 128 + number


def test_what_kills_the_command_kills_the_run():
    command = watching("time.sleep(60)")
    child = psutil.Process(int(command.stdout.readline()))
    command.kill()
    command.communicate(timeout=200)
    child.wait(60)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (ValueError("UNKNOWN: Gloo AllGather failed: [pair.cc:547] Connection closed by peer [127.0.0.1]:30632"), True),
        (JaxRuntimeError("UNAVAILABLE: Failed to send RPC to coordination service."), True),
        (JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes."), False),
        (JaxRuntimeError("INTERNAL: XLA failed"), False),
        (ValueError("The batch has no rows."), False),
    ],
)
def test_an_error_of_our_own_is_not_called_a_lost_host(error, lost, monkeypatch):
    monkeypatch.setattr(hosts.atexit, "register", lambda leave: None)
    with pytest.raises(HostLostError if lost else type(error)), hosts._others_there():
        raise error
