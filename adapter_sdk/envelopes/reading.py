"""Bytes and headers -> Opened: CloudEvents 1.0 structured and binary over AMQP 0-9-1, and the EventBridge envelope.

Reading is strict and invents nothing: what is missing or broken is a MalformedEvent that names the field. Binary mode
is met with three header prefixes: `cloudEvents_` and `cloudEvents:` (both in the CloudEvents AMQP binding, the first
for brokers that refuse colons) and `ce-` (borrowed from HTTP). All are read; `cloudEvents_` is written.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from adapter_sdk.envelopes.opened import Opened, format_time
from adapter_sdk.errors import MalformedEvent
from adapter_sdk.events import ExtensionValue, Key
from adapter_sdk.strict_json import read_json
from adapter_sdk.transport.base import UNDECODABLE, Message

STRUCTURED = "application/cloudevents+json"
_PREFIXES = ("cloudevents_", "cloudevents:", "ce-")
_ATTRIBUTES = frozenset(
    ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data", "data_base64")
)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
# Characters of an attribute that the ledger has a column for.
_LONGEST_TEXT = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a message may be, in bytes, and how deep its JSON may nest. EventBridge allows 256 KB."""

    max_bytes: int = 262_144
    max_depth: int = 32


def open_envelope(message: Message, limits: Limits) -> Opened:
    """Read a message in whichever of the known envelopes it came. Raises MalformedEvent."""
    if len(message.body) > limits.max_bytes:
        raise MalformedEvent(f"the message has {len(message.body)} bytes; the limit is {limits.max_bytes}")
    if message.content_encoding not in (None, "", "identity", "utf-8", "UTF-8"):
        raise MalformedEvent(f"content-encoding {message.content_encoding!r} is not understood; send the bytes plain")
    content_type = (message.content_type or "").partition(";")[0].strip().lower()
    attributes = _binary_attributes(message.headers) if message.headers else {}
    if attributes and content_type != STRUCTURED:
        attributes.setdefault("datacontenttype", message.content_type)
        return _around(attributes, message.body, limits)
    body, plain = read_json(message.body, limits.max_depth)
    if UNDECODABLE in message.headers and not (isinstance(body, dict) and "specversion" in body):
        raise MalformedEvent(f"the headers cannot be decoded: {message.headers[UNDECODABLE]}")
    if not isinstance(body, dict):
        raise MalformedEvent("the body is JSON, but not an object; expected a CloudEvents or EventBridge envelope")
    if "specversion" in body or content_type == STRUCTURED:
        return _structured(body, message.body if plain else None, limits)
    if "detail-type" in body:
        return _eventbridge(body, message.body if plain else None)
    raise MalformedEvent(
        "no envelope: neither CloudEvents headers (cloudEvents_id ...), nor `specversion` (CloudEvents JSON), "
        "nor `detail-type` (EventBridge) in the body"
    )


def _binary_attributes(headers: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for header, value in headers.items():
        name = header.lower()  # `ce-` comes from HTTP, where the case of a name means nothing
        if not name.startswith(_PREFIXES):
            continue
        attribute = next(name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix))
        value = _since_epoch(value) if attribute == "time" else value  # noqa: PLW2901
        if found.setdefault(attribute, value) != value:
            raise MalformedEvent(f"the headers give {attribute} twice, with different values")
    return found


def _since_epoch(value: Any) -> Any:
    """A time sent as a plain integer counts milliseconds, as a timestamp of AMQP 1.0 does; other forms stay."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise MalformedEvent(f"time is {value}, which is no date in milliseconds since 1970") from error


def _around(attributes: Mapping[str, Any], data: bytes, limits: Limits) -> Opened:
    """The envelope with these attributes around data as bytes."""
    _check_content_type(attributes.get("datacontenttype"))
    value, plain = read_json(data, limits.max_depth)
    return _opened(attributes, value, data if plain else None)


def _check_content_type(content_type: object) -> None:
    if content_type is None or content_type == "application/json":
        return
    kind = str(content_type).partition(";")[0].strip().lower()
    if kind not in ("", "application/json", "text/json") and not kind.endswith("+json"):
        raise MalformedEvent(f"datacontenttype is {content_type!r}; adaptors read JSON data")


def _structured(body: dict[str, Any], plain: bytes | None, limits: Limits) -> Opened:
    if "data" in body and "data_base64" in body:
        raise MalformedEvent("data and data_base64 are both given; CloudEvents allows one")
    if "data_base64" in body:
        try:
            raw = base64.b64decode(body["data_base64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise MalformedEvent(f"data_base64: {error}") from error
        return _around(body, raw, limits)
    _check_content_type(body.get("datacontenttype"))
    return _opened(body, body.get("data"), plain, "data")


def _eventbridge(body: Mapping[str, Any], plain: bytes | None) -> Opened:
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": body.get("id"),
        "source": body.get("source"),
        "type": body.get("detail-type"),
        "time": body.get("time"),
        **{name: body[name] for name in ("account", "region") if name in body},
    }
    resources = body.get("resources", [])
    if not isinstance(resources, list) or not all(isinstance(item, str) for item in resources):
        raise MalformedEvent("resources: expected a list of strings")
    missing = [name for name in ("id", "source", "detail-type", "detail") if body.get(name) in (None, "")]
    if missing:
        raise MalformedEvent(f"EventBridge envelope without {', '.join(missing)}")
    more = {"resources": tuple(resources)} if resources else None
    return _opened(attributes, body["detail"], plain, "detail", more)


def _opened(
    attributes: Mapping[str, Any],
    data: Any,
    body: bytes | None,
    member: str = "",
    more: Mapping[str, ExtensionValue] | None = None,
) -> Opened:
    if (version := attributes.get("specversion")) != "1.0":
        found = "missing" if version is None else repr(version)
        raise MalformedEvent(f"specversion is {found}; adaptors read CloudEvents 1.0")
    id_, source, kind = _text(attributes, "id"), _text(attributes, "source"), _text(attributes, "type")
    if not id_ or not source or not kind:
        missing = [name for name in ("id", "source", "type") if not attributes.get(name)]
        raise MalformedEvent(f"CloudEvents attribute {', '.join(missing)} is missing or empty; nothing is invented")
    extensions = {
        name: _extension(name, value)
        for name, value in attributes.items()
        if name not in _ATTRIBUTES and value is not None
    }
    return Opened(
        id=id_,
        source=source,
        key=Key(source, id_),
        type=kind,
        data=data,
        subject=_text(attributes, "subject"),
        time=_time(attributes.get("time")),
        dataschema=_text(attributes, "dataschema"),
        extensions={**extensions, **more} if more else extensions,
        body=body,
        member=member,
    )


def _text(attributes: Mapping[str, Any], name: str) -> str | None:
    value = attributes.get(name)
    if value is None or (type(value) is str and len(value) <= _LONGEST_TEXT and value.isprintable()):
        return value
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedEvent(f"{name} is not UTF-8") from error
    if not isinstance(value, str):
        raise MalformedEvent(f"{name} is a {type(value).__name__}; CloudEvents has it as a string")
    _check_characters(name, value)
    if len(value) > _LONGEST_TEXT:
        raise MalformedEvent(f"{name} has {len(value)} characters; adaptors take up to {_LONGEST_TEXT}")
    return value


def _check_characters(name: str, value: str) -> None:
    if value.isprintable():
        return
    if any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in value):
        raise MalformedEvent(f"{name} holds control characters, which CloudEvents does not allow")
    if any(0xD800 <= ord(character) < 0xE000 for character in value):
        raise MalformedEvent(f"{name} holds half of a surrogate pair, which no text can hold")


def _extension(name: str, value: Any) -> ExtensionValue:
    if not (name.isascii() and name.isalnum() and name == name.lower()):
        raise MalformedEvent(f"extension {name!r}: CloudEvents names are lower-case letters and digits")
    if isinstance(value, str):
        _check_characters(name, value)
    if isinstance(value, (str, bool, int, bytes)):
        return value
    if isinstance(value, datetime):
        return format_time(_in_zone(value))
    raise MalformedEvent(f"extension {name}: a {type(value).__name__} is not a CloudEvents value")


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return _in_zone(value)
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise MalformedEvent(f"time is {value!r}; CloudEvents has RFC 3339, as 2026-11-20T08:15:00Z")
    try:
        time = datetime.fromisoformat(value.upper())  # keeps six of nine digits
        if time.year in (1, 9999):
            time.astimezone(UTC)  # these years have hours that do not exist in UTC
        return time
    except (ValueError, OverflowError) as error:
        raise MalformedEvent(f"time is {value!r}: {error}") from error


def _in_zone(time: datetime) -> datetime:
    """An AMQP timestamp is in UTC, and may be handed over without saying so."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)
