"""From a URL to a transport."""

import subprocess
import sys

import pytest

from adapter_sdk.errors import ConfigError
from adapter_sdk.transport.base import Queue, Topology
from adapter_sdk.transport.connect import transport_for


def test_memory_is_shared_by_name() -> None:
    """Two transports for `memory://shop` meet at one broker."""
    transport_for("memory://unit-connect").declare(Topology(queues=[Queue("q")]))
    assert transport_for("memory://unit-connect").missing(Topology(queues=[Queue("q")])) == []
    assert transport_for("memory://unit-other").missing(Topology(queues=[Queue("q")])) == ["q"]


def test_memory_needs_no_pika() -> None:
    """A memory:// run imports no pika, which would cost it start-up time."""
    code = (
        "import sys; from adapter_sdk.transport.connect import transport_for; transport_for('memory://');"
        "sys.exit('pika' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("url", ["amqp://u:hidden@h/v", "amqps://u:hidden@h/v"])
def test_rabbitmq(url: str) -> None:
    """AMQP URLs give a RabbitMQ transport, whose name and repr show no password."""
    transport = transport_for(url)
    assert type(transport).__name__ == "RabbitMQTransport"
    assert transport.name.startswith(url.partition("u:")[0] + "u@h:")
    assert "hidden" not in transport.name + repr(transport)


@pytest.mark.parametrize("url", ["redis://u:hidden@h", "u:hidden@h", "", "://hidden"])
def test_other_schemes(url: str) -> None:
    """Any other URL is a ConfigError that names the schemes there are and quotes no secret."""
    with pytest.raises(ConfigError, match=r"amqp://.*memory://") as caught:
        transport_for(url)
    assert "hidden" not in str(caught.value)
