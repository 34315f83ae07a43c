"""Messages and replies as JSON bytes, for a ledger row. Nothing of a message is lost on the way."""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from adapter_sdk.ledger.base import Decision, Reply
from adapter_sdk.ledger.owing import Owing
from adapter_sdk.transport.base import Message

_TAG = "$"


def _plain(value: Any) -> Any:
    """A value with every table marked whose own names could be taken for a tag."""
    if isinstance(value, (str, int, bytes)):  # most are, and to ask whether it is a Mapping takes longest
        return value
    if isinstance(value, Mapping):
        table = {name: _plain(item) for name, item in value.items()}
        return {_TAG: "table", "v": list(table.items())} if _TAG in table else table
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _tagged(value: Any) -> Any:
    """What JSON has no form for, as a tagged object."""
    if isinstance(value, bytes):
        return {_TAG: "bytes", "v": base64.b64encode(value).decode("ascii")}
    if isinstance(value, datetime):
        return {_TAG: "time", "v": value.isoformat()}
    if isinstance(value, Decimal):
        return {_TAG: "decimal", "v": str(value)}
    return {_TAG: "repr", "v": repr(value)}


# One for all: `json.dumps` makes a new encoder wherever it is told more than the value.
_ENCODER = json.JSONEncoder(default=_tagged, separators=(",", ":"))


def _untagged(value: dict[str, Any]) -> Any:
    match value.get(_TAG):
        case "table":
            return dict(value["v"])
        case "bytes":
            return base64.b64decode(value["v"])
        case "time":
            return datetime.fromisoformat(value["v"])
        case "decimal":
            return Decimal(value["v"])
        case "repr":
            return value["v"]
    return value


def pack_json(value: Any) -> bytes:
    """A JSON value that may hold bytes, times and decimals, as bytes."""
    return _ENCODER.encode(_plain(value)).encode("utf-8")


def unpack_json(packed: bytes) -> Any:
    """The value that `pack_json` was given."""
    return json.loads(packed, object_hook=_untagged)


def pack_message(message: Message) -> bytes:
    """A message with all its properties."""
    return pack_json({item.name: getattr(message, item.name) for item in fields(message)})


def unpack_message(packed: bytes) -> Message:
    """The message that `pack_message` was given."""
    return Message(**unpack_json(packed))


def pack_replies(replies: tuple[Reply, ...]) -> bytes:
    """Sealed replies, in order. A body is JSON, and so is text."""
    return _ENCODER.encode([_reply_items(reply) for reply in replies]).encode("utf-8")


def _reply_items(reply: Reply) -> list[Any]:
    items = [reply.id, reply.type, _text_of(reply.body)]
    owed = reply.owed
    return items if owed is None else [*items, [owed.key, owed.within, _plain(owed.extensions)]]


def _text_of(body: bytes) -> str | bytes:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body


def pack_decisions(decisions: tuple[Decision, ...]) -> bytes:
    """What people decided, oldest first."""
    return pack_json([asdict(decision) for decision in decisions])


def unpack_decisions(packed: bytes) -> tuple[Decision, ...]:
    """The decisions that `pack_decisions` was given."""
    return tuple(Decision(**item) for item in unpack_json(packed))


def unpack_replies(packed: bytes) -> tuple[Reply, ...]:
    """The replies that `pack_replies` was given."""
    return tuple(
        Reply(id_, kind, body.encode("utf-8") if isinstance(body, str) else body, Owing(*owed[0]) if owed else None)
        for id_, kind, body, *owed in unpack_json(packed)
    )
