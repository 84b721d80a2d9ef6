import socket

from server_process import wait_until

from minicarla.protocol.peer_queue import question, unread_bytes


def test_what_the_other_end_has_not_read():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader = socket.create_connection(listener.getsockname())
        writer, _ = listener.accept()
        with reader, writer:
            asked = question(writer.getsockname(), writer.getpeername())
            assert asked is not None
            assert unread_bytes(asked) == 0
            writer.sendall(bytes(1000))
            assert wait_until(lambda: unread_bytes(asked) == 1000)  # a busy kernel delivers a little later
            reader.recv(300)
            assert unread_bytes(asked) == 700
            reader.recv(700)
            assert unread_bytes(asked) == 0


def test_an_end_that_is_not_on_this_machine_is_not_known():
    asked = question(("127.0.0.1", 2001), ("192.0.2.1", 50000))
    assert asked is not None
    assert unread_bytes(asked) is None
    assert question(("::1", 2001), ("::1", 50000)) is None
