"""From a broker URL to the transport that speaks to it."""

from ssl import SSLContext
from urllib.parse import urlsplit

from adapter_sdk.errors import ConfigError
from adapter_sdk.transport.base import Transport


def transport_for(
    url: str, *, connection_name: str = "adaptor", heartbeat: int = 6, ssl_context: SSLContext | None = None
) -> Transport:
    """The transport for `url`, not yet open: `amqp://` and `amqps://` are RabbitMQ, `memory://` is the embedded broker.

    `memory://shop` is the broker of that name in this process: whoever asks for it shares it, and it is gone with the
    process. The other arguments concern RabbitMQ only: `connection_name` is what its management pages show,
    `heartbeat` is in seconds. Raises ConfigError for a URL that is wrong; no message ever shows the URL's password.
    """
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme == "memory":
        from adapter_sdk.transport.memory import MemoryTransport, shared_broker

        return MemoryTransport(shared_broker(urlsplit(url).netloc))
    if scheme in ("amqp", "amqps"):
        # Imported here because pika costs start-up time that a memory:// run and `adaptor --help` need not pay.
        from adapter_sdk.transport.rabbitmq import RabbitMQTransport

        return RabbitMQTransport(url, connection_name=connection_name, heartbeat=heartbeat, ssl_context=ssl_context)
    shown = f"scheme {scheme!r}" if scheme else "no scheme"
    raise ConfigError(f"The broker URL has {shown}; write amqp://, amqps:// (RabbitMQ with TLS) or memory://.")
