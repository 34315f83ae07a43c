"""Where a broker is and how to log in, out of a URL; the password shows nowhere."""

import ssl
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

from adapter_sdk.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Address:
    """A broker's address. `str()` of it is a URL without the password, fit for logs."""

    host: str
    port: int
    vhost: str
    user: str
    password: str = field(repr=False)
    tls: bool

    def __str__(self) -> str:
        scheme = "amqps" if self.tls else "amqp"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{quote(self.user, safe='')}@{host}:{self.port}/{quote(self.vhost, safe='')}"


def parse_address(url: str) -> Address:
    """Read an `amqp://` or `amqps://` URL as the RabbitMQ URI specification has it; guest/guest without a user.

    Options after `?` are refused rather than half understood: TLS and timeouts are settings, not parts of an address.
    Raises ConfigError, which names the part that is wrong and never quotes the URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"The broker URL cannot be read: {_reason(error)}.") from None
    faults = _faults(parts)
    if faults:
        raise ConfigError(*faults)
    tls = parts.scheme == "amqps"
    return Address(
        host=parts.hostname or "",
        port=port or (5671 if tls else 5672),
        vhost=unquote(parts.path[1:]) or "/",
        user="guest" if parts.username is None else unquote(parts.username),
        password="guest" if parts.username is None else unquote(parts.password or ""),
        tls=tls,
    )


def tls_context() -> ssl.SSLContext:
    """TLS 1.2 or later, certificate and host name checked against the system's authorities."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _faults(parts: SplitResult) -> list[str]:
    faults = []
    if parts.scheme not in ("amqp", "amqps"):
        faults.append("The broker URL must begin with amqp:// or amqps://.")
    if not parts.hostname:
        faults.append("The broker URL names no host.")
    if parts.username is not None and parts.password is None:
        faults.append("The broker URL has a user but no password; write amqp://user:password@host.")
    if "/" in parts.path[1:]:
        faults.append("The virtual host in the broker URL contains a slash; write it as %2F.")
    if parts.query or parts.fragment:
        faults.append("The broker URL has options after ? or #; they are not supported, use the settings instead.")
    return faults


def _reason(error: ValueError) -> str:
    # urllib quotes what it could not read, which may be a piece of an unescaped password.
    return "its port is not a number from 0 to 65535" if "ort" in str(error) else "its host is malformed"
