import socket
from pathlib import Path

import pytest

from envloop import free_ports as module
from envloop.free_ports import free_ports


@pytest.mark.parametrize("count", [1, 3])
def test_all_can_be_listened_on_and_none_is_given_to_an_outgoing_connection(count: int):
    lowest_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(50):
        first = free_ports(count)
        for port in range(first, first + count):
            assert 1024 < port < lowest_given
            with socket.socket() as server:
                server.bind(("127.0.0.1", port))


def test_a_row_with_a_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch):
    free = free_ports(4)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free + 1))
        taken.listen()
        drawn = iter([free, free + 1, free + 2])
        monkeypatch.setattr(module.secrets, "randbelow", lambda end: next(drawn) - module._LOWEST)
        assert free_ports(2) == free + 2
