"""A login that does not come to its end: only a broker that says so has refused it."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pika import amqp_object, frame, spec

from adapter_sdk.errors import BrokerError
from adapter_sdk.transport.rabbitmq import RabbitMQTransport

_START = spec.Connection.Start(0, 9, {}, "PLAIN", "en_US")
_TUNE = spec.Connection.Tune(0, 131_072, 0)
_SHUTDOWN = spec.Connection.Close(320, "CONNECTION_FORCED - broker forced connection closure", 0, 0)


@contextmanager
def broker(*answers: amqp_object.Method) -> Iterator[int]:
    """A port that gives each of these answers when it has been sent something, and then resets the connection."""

    def serve() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            with line:
                for answer in answers:
                    line.recv(65_536)
                    line.sendall(frame.Method(0, answer).marshal())
                line.recv(65_536)
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    "answers",
    [(_START,), (_START, _TUNE), (_START, _SHUTDOWN), (_START, _TUNE, _SHUTDOWN)],
    ids=["cut at login", "cut at virtual host", "broker stops at login", "broker stops at virtual host"],
)
def test_a_login_that_is_cut_short_says_nothing_about_the_settings(answers: tuple[amqp_object.Method, ...]) -> None:
    """A cut line or a stopping broker during the login is a BrokerError, so the adaptor tries again."""
    with broker(*answers) as port:
        transport = RabbitMQTransport(f"amqp://user:password@127.0.0.1:{port}/%2F")
        with pytest.raises(BrokerError, match="lost during the login"):
            transport.open()
        transport.close()
