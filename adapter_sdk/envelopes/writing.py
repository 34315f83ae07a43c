"""Event -> bytes and headers: CloudEvents 1.0 structured and binary over AMQP 0-9-1."""

import base64
from typing import Any

import pydantic_core

from adapter_sdk.envelopes.opened import format_time
from adapter_sdk.envelopes.reading import STRUCTURED
from adapter_sdk.events import Event, EventData
from adapter_sdk.transport.base import Message


def _attributes(event: Event[EventData]) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "datacontenttype": "application/json",
    }
    if event.subject is not None:
        attributes["subject"] = event.subject
    if event.time is not None:
        attributes["time"] = format_time(event.time)
    if event.dataschema is not None:
        attributes["dataschema"] = event.dataschema
    for name, value in event.extensions.items():
        if not isinstance(value, tuple):
            attributes[name] = base64.b64encode(value).decode() if isinstance(value, bytes) else value
    return attributes


def structured_body(event: Event[EventData]) -> bytes:
    """The event as CloudEvents JSON (structured mode)."""
    attributes = pydantic_core.to_json(_attributes(event))
    return b'%b,"data":%b}' % (attributes[:-1], event.data.model_dump_json().encode())


def structured_message(body: bytes, *, type: str, id: str, exchange: str, correlation_id: str | None = None) -> Message:
    """A message in structured mode around bytes made by `structured_body`; the routing key is the event type."""
    return Message(
        body=body,
        exchange=exchange,
        routing_key=type,
        content_type=f"{STRUCTURED}; charset=utf-8",
        message_id=id,
        correlation_id=correlation_id,
        type=type,
    )


def write_structured(event: Event[EventData], exchange: str = "") -> Message:
    """The event as a message in structured mode."""
    return structured_message(structured_body(event), type=event.type, id=event.id, exchange=exchange)


def write_binary(event: Event[EventData], exchange: str = "") -> Message:
    """The event as a message in binary mode: attributes in headers, the body is the data."""
    attributes = _attributes(event)
    content_type = attributes.pop("datacontenttype")
    return Message(
        body=pydantic_core.to_json(event.data.model_dump(mode="json")),
        exchange=exchange,
        routing_key=event.type,
        headers={f"cloudEvents_{name}": value for name, value in attributes.items()},
        content_type=content_type,
        message_id=event.id,
        type=event.type,
    )
