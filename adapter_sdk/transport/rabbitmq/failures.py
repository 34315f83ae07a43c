"""What pika raises, said in the toolkit's errors: what happened, at which broker, and what to do."""

import re
import ssl
from collections.abc import Callable, Iterator

from pika import exceptions

from adapter_sdk.errors import AdaptorError, BrokerError, ConfigError
from adapter_sdk.transport.base import QueueTaken
from adapter_sdk.transport.checks import declared_otherwise
from adapter_sdk.transport.rabbitmq.address import Address

Translate = Callable[[BaseException], AdaptorError]

# Reply codes of AMQP 0-9-1, section 1.1.
_LOGIN_REFUSED = 403  # access-refused
_RESOURCE_LOCKED = 405
_VHOST_REFUSED = 530  # not-allowed

_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']*)' for (?P<what>queue|exchange) '(?P<name>.*?)' in vhost '.*?': "
    r"received (?P<wanted>.*) but current is (?P<actual>.*)$"
)
_LOSSES: dict[type[Exception], str] = {
    exceptions.ConnectionClosedByBroker: "{address} closed the connection: {reason}.",
    exceptions.AMQPHeartbeatTimeout: "{address} has sent no heartbeat; the connection is dropped.",
    exceptions.ConnectionBlockedTimeout: (
        "{address} has blocked publishers for too long: look for a memory or disk alarm on it."
    ),
    exceptions.StreamLostError: "The connection to {address} is lost: {reason}",
}

_NO_SUCH = re.compile(r"no (?P<what>queue|exchange) '(?P<name>.*?)' in vhost")


def translate(error: BaseException, address: Address) -> AdaptorError:
    """The toolkit's error for what pika raised, with the original as its cause."""
    if isinstance(error, AdaptorError):
        return error
    translated = _translated(error, address)
    translated.__cause__ = error
    return translated


def _translated(error: BaseException, address: Address) -> AdaptorError:
    match error:
        case exceptions.AuthenticationError():
            return _login_refused(address)
        case exceptions.ProbableAuthenticationError() | exceptions.ProbableAccessDeniedError():
            return _not_let_in(str(error), address)
        case exceptions.ChannelClosedByBroker():
            return channel_closed(error, address)
        case exceptions.ConnectionClosedByBroker(reply_code=503):
            return ConfigError(f"{address} refused a command: {error.reply_text}.")
    for kind, sentence in _LOSSES.items():
        if isinstance(error, kind):
            reason = getattr(error, "reply_text", None) or next(iter(error.args), error)
            return BrokerError(sentence.format(address=address, reason=reason))
    if isinstance(error, exceptions.AMQPConnectionError | OSError) or type(error).__module__.startswith("pika."):
        return _unreachable(error, address)
    return BrokerError(f"The I/O thread of {address} stopped: {type(error).__name__}: {error}")


def channel_closed(error: exceptions.ChannelClosedByBroker, address: Address) -> AdaptorError:
    """The error for a channel that the broker closed because of something done on it."""
    text = error.reply_text
    if inequivalent := _INEQUIVALENT.search(text):
        wanted, actual = _value(inequivalent["wanted"]), _value(inequivalent["actual"])
        what = inequivalent["what"].capitalize()
        return ConfigError(declared_otherwise(what, inequivalent["name"], inequivalent["argument"], wanted, actual))
    if missing := _NO_SUCH.search(text):
        return ConfigError(f"There is no {missing['what']} {missing['name']!r} at {address}; declare it first.")
    if "in exclusive use" in text or error.reply_code == _RESOURCE_LOCKED:
        return QueueTaken(f"Another process consumes this queue exclusively at {address}: {text}.")
    if error.reply_code == 403 or "invalid arg" in text:
        return ConfigError(f"{address} refused: {text}.")
    return BrokerError(f"{address} closed the channel: {text}.")


def named_exchange(error: BaseException) -> str | None:
    """The exchange that a broker's refusal names, if it names one."""
    named = re.search(r"exchange '(.*?)' in vhost", getattr(error, "reply_text", ""))
    return named[1] if named else None


def _value(text: str) -> str | int | None:
    """One side of the broker's comparison: 3.10 says `'200'`, later `the value '200' of type 'signedint'`."""
    quoted = re.search(r"'(.*?)'", text)
    if quoted is None:
        return None
    return int(quoted[1]) if quoted[1].lstrip("-").isdigit() else quoted[1]


def _not_let_in(text: str, address: Address) -> AdaptorError:
    """A connection that ended during the login. pika blames user or virtual host, whatever ended it.

    A broker that refuses says so with a code, because pika asks for it (`authentication_failure_close`). A line that
    was cut, or a broker that is going down, says nothing about the settings.
    """
    if f"({_LOGIN_REFUSED})" in text:
        return _login_refused(address)
    if f"({_VHOST_REFUSED})" in text:
        return _vhost_refused(text, address)
    return BrokerError(f"The connection to {address} was lost during the login: {_reply(text)}")


def _login_refused(address: Address) -> ConfigError:
    return ConfigError(f"{address} refused the user or the password. Correct them in the broker URL.")


def _vhost_refused(text: str, address: Address) -> AdaptorError:
    if "limit" in text or "is down" in text:
        return BrokerError(f"{address} accepts no connection to its virtual host now: {_reply(text)}")
    if "not found" in text:
        return ConfigError(
            f"{address}: there is no virtual host {address.vhost!r}. Create it or correct the broker URL."
        )
    return ConfigError(
        f"{address}: user {address.user!r} may not use the virtual host {address.vhost!r}. Give it permission there."
    )


def _reply(text: str) -> str:
    quoted = re.search(r"\(\d+\) ['\"](.*?)['\"]\"?,?\)?$", text)
    return quoted[1] if quoted else text


def _unreachable(error: BaseException, address: Address) -> AdaptorError:
    inner = next(_inner_os_errors(error), None)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return ConfigError(f"{address}: the broker's certificate is not trusted: {inner.verify_message}.")
    if isinstance(inner, ssl.SSLError) and inner.reason == "WRONG_VERSION_NUMBER":
        return ConfigError(f"{address} does not speak TLS on this port; TLS is usually on 5671.")
    if inner is None:
        return _does_not_speak(address)
    return BrokerError(
        f"Cannot reach {address.host} port {address.port}: {inner.strerror or inner}. Check that the broker runs, that "
        f"host and port in the broker URL are right, and that no firewall is between."
    )


def _does_not_speak(address: Address) -> BrokerError:
    return BrokerError(
        f"{address.host} port {address.port} answers, but not with AMQP 0-9-1. Check the port in the broker URL: AMQP "
        f"is usually on 5672, with TLS (amqps://) on 5671, and 15672 is the management page."
    )


def _inner_os_errors(error: BaseException) -> Iterator[OSError]:
    """The operating system's errors inside pika's, which wraps them in `args`, `exception` or `exceptions`."""
    if isinstance(error, OSError):
        yield error
        return
    nested = [*error.args, *getattr(error, "exceptions", ()), getattr(error, "exception", None), error.__cause__]
    for inner in nested:
        if isinstance(inner, BaseException):
            yield from _inner_os_errors(inner)
