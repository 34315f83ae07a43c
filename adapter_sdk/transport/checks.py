"""What AMQP 0-9-1 can carry, checked before a message leaves so that one bad message names itself."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from adapter_sdk.errors import PermanentError
from adapter_sdk.transport.base import Message

MAX_HEADER_DEPTH = 32
"""Levels of tables and lists inside headers. Deeper ones are neither sent nor decoded."""

_SHORT_TEXTS = (
    "exchange",
    "routing_key",
    "content_type",
    "content_encoding",
    "message_id",
    "correlation_id",
    "reply_to",
    "expiration",
    "type",
    "app_id",
    "user_id",
)


def check_message(message: Message) -> None:
    """Raise PermanentError, naming the property or header, if AMQP cannot carry `message`."""
    for name in _SHORT_TEXTS:
        text = getattr(message, name)
        if text is not None and len(text) > 63:  # no character takes more than 4 of the 255 bytes
            _check_short(f"its {name}", text)
    if message.priority is not None and not 0 <= message.priority <= 255:
        raise PermanentError(f"its priority is {message.priority}; AMQP carries 0 to 255")
    if message.timestamp is not None and not 0 <= message.timestamp < 2**64:
        raise PermanentError(f"its timestamp is {message.timestamp}; AMQP carries 0 to 2**64 - 1")
    if message.expiration is not None and not (message.expiration.isascii() and message.expiration.isdigit()):
        raise PermanentError(f"its expiration is {message.expiration!r}; AMQP takes milliseconds as digits")
    if message.headers:
        _check_table(message.headers, "header", 1)


def check_all(messages: Sequence[Message]) -> None:
    """Raise PermanentError naming the first of `messages` that AMQP cannot carry, its place and the fault."""
    for number, message in enumerate(messages, 1):
        try:
            check_message(message)
        except PermanentError as error:
            raise PermanentError(f"{describe(message, number, len(messages))} cannot be sent: {error}.") from None


def describe(message: Message, number: int, count: int) -> str:
    """The words for one message of a batch in an error."""
    return f"Message {number} of {count} (exchange {message.exchange!r}, routing key {message.routing_key!r})"


def _check_short(what: str, text: str) -> None:
    size = len(text.encode())
    if size > 255:
        raise PermanentError(f"{what} is {size} bytes long; AMQP carries at most 255")


def _check_table(table: Mapping[str, Any], path: str, depth: int) -> None:
    for name, value in table.items():
        where = f"{path} {name!r}"
        if not isinstance(name, str):
            raise PermanentError(f"{where} has a name that is not text")
        _check_short(f"the name of {where}", name)
        _check_value(value, where, depth)


def _check_value(value: object, where: str, depth: int) -> None:
    match value:
        case None | bool() | str() | bytes() | float():
            pass
        case int():
            if not -(2**63) <= value < 2**63:
                raise PermanentError(f"{where} is {value}; AMQP carries integers of 64 bits")
        case Decimal():
            _check_decimal(value, where)
        case datetime():
            if value.tzinfo is None or value.timestamp() < 0:
                raise PermanentError(f"{where} is {value}; AMQP carries times with a zone, from 1970 on")
        case dict() | list():
            _check_nested(value, where, depth + 1)
        case _:
            raise PermanentError(f"{where} is of type {type(value).__name__}, which AMQP headers cannot carry")


def _check_nested(value: dict[str, Any] | list[Any], where: str, depth: int) -> None:
    if depth > MAX_HEADER_DEPTH:
        raise PermanentError(f"{where} is nested deeper than {MAX_HEADER_DEPTH} levels")
    if isinstance(value, dict):
        _check_table(value, where, depth)
    else:
        for item in value:
            _check_value(item, where, depth)


def _check_decimal(value: Decimal, where: str) -> None:
    exponent = value.normalize().as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -255 or abs(value.scaleb(max(-exponent, 0))) >= 2**31:
        raise PermanentError(f"{where} is {value}; AMQP carries decimals of 32 bits")


# Where the arguments of the work queue come from.
_SETTINGS = {"x-queue-type": "[broker] queue_type", "x-delivery-limit": "[broker] delivery_limit"}


def declared_otherwise(what: str, name: str, argument: str, wanted: object, actual: object) -> str:
    """The sentence for a queue or exchange that exists with another setting; `what` is "Queue" or "Exchange"."""
    setting = _SETTINGS.get(argument, "the setting")
    return (
        f"{what} {name!r} exists with {argument} {_shown(actual)}, but {_shown(wanted)} is wanted. Delete or rename "
        f"the {what.lower()} on the broker, or change {setting}; an existing one is never altered."
    )


def _shown(value: object) -> str:
    return "not set" if value is None else repr(value)
