"""The command line: what it says, and how it ends."""

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
from server_process import launch, running_server, wait_until

from envloop.free_ports import free_ports


def outcome(*options: str) -> tuple[int, str, str]:
    process = launch(*options)
    output, errors = process.communicate(timeout=240)
    return process.returncode, output, errors


def one_sentence(errors: str) -> str:
    lines = errors.strip().splitlines()
    assert len(lines) == 1, errors
    return lines[0]


@pytest.mark.parametrize("taken_by_streams", [False, True])
def test_port_in_use(taken_by_streams: bool):
    with ExitStack() as stack:
        asked = free_ports(2)
        port = asked + taken_by_streams
        holder = stack.enter_context(socket.socket())
        holder.bind(("127.0.0.1", port))
        holder.listen()
        code, output, errors = outcome("--port", str(asked))
    assert code == 2
    assert output == ""
    assert f"cannot listen on 127.0.0.1:{port}" in one_sentence(errors)
    assert "--port" in errors


def test_host_of_another_machine():
    code, _, errors = outcome("--host", "203.0.113.7", "--port", "0")
    assert code == 2
    warning, sentence = errors.strip().splitlines()
    assert "warning: listening on 203.0.113.7" in warning
    assert "cannot listen on 203.0.113.7" in sentence


def test_maps_that_cannot_be(tmp_path: Path):
    broken = tmp_path / "broken.xodr"
    broken.write_text("<OpenDRIVE><road")
    for options, word in (
        (("--xodr", str(broken)), "broken.xodr"),
        (("--xodr", str(tmp_path / "none.xodr")), "there is no file"),
        (("--town", "Town99"), "Town99"),
        (("--maps", str(tmp_path / "none")), "there is no folder"),
    ):
        code, output, errors = outcome("--port", "0", *options)
        assert (code, output) == (2, "")
        assert word in one_sentence(errors)


def test_options_that_cannot_be():
    for options in (("--port", "70000"), ("--port", "x"), ("--town", "Town01", "--xodr", "x"), ("--colour", "red")):
        code, _, errors = outcome(*options)
        assert code == 2
        assert "usage:" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly_with_clients_connected(number: signal.Signals):
    with running_server() as server:
        world = server.client().get_world()
        assert world.wait_for_tick().frame > 0
        server.process.send_signal(number)
        _, errors = server.process.communicate(timeout=20)
        assert server.process.returncode == 0
        assert errors == ""


def test_streams_are_on_the_next_port():
    with running_server() as server, socket.create_connection(("127.0.0.1", server.port + 1)) as connection:
        connection.sendall(b"\1\0\0\0")
        assert connection.recv(4)


def test_end_of_the_parent_ends_the_server():
    script = (
        "import subprocess, sys, os\n"
        "server = subprocess.Popen([sys.executable, '-m', 'minicarla', '--port', '0', '--parent-pid',"
        " str(os.getpid())], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)\n"
        "print(server.stdout.readline(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    line = parent.stdout.readline()
    server = psutil.Process(int(line.split("pid=")[1].split()[0]))
    parent.kill()
    parent.communicate(timeout=20)

    def gone() -> bool:
        with suppress(psutil.NoSuchProcess):
            return server.status() == psutil.STATUS_ZOMBIE  # nobody may be there to collect it
        return True

    assert wait_until(gone)


def test_parent_that_is_not_there():
    code, _, errors = outcome("--port", "0", "--parent-pid", str(2**22 + 1))
    assert code == 2
    assert "--parent-pid" in one_sentence(errors)
