"""Free TCP ports on the loopback interface."""

import random
import socket

LOW, HIGH = 20_000, 32_000
"""Below Linux's range for outgoing connections (from 32768 on), so that no client takes the port before its server."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now. Another process may still take it first: servers start again."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """`count` different free ports, all held at the same time while they are chosen."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            candidate = socket.socket()
            try:
                candidate.bind(("127.0.0.1", random.randrange(LOW, HIGH)))
            except OSError:
                candidate.close()
            else:
                held.append(candidate)
        return [candidate.getsockname()[1] for candidate in held]
    finally:
        for candidate in held:
            candidate.close()
