"""Bytes and headers <-> Event: CloudEvents 1.0 structured and binary over AMQP 0-9-1, and the EventBridge envelope."""

from adapter_sdk.envelopes.opened import Opened, describe, format_time
from adapter_sdk.envelopes.reading import STRUCTURED, Limits, open_envelope
from adapter_sdk.envelopes.writing import structured_body, structured_message, write_binary, write_structured

__all__ = [
    "STRUCTURED",
    "Limits",
    "Opened",
    "describe",
    "format_time",
    "open_envelope",
    "structured_body",
    "structured_message",
    "write_binary",
    "write_structured",
]
