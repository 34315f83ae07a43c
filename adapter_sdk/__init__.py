"""The legacy event adaptor toolkit: what every adaptor is made of.

These names are the public interface. For a backend of your own kind see `adapter_sdk.family`; for tests of your own
adaptor see `adapter_sdk.testing`.
"""

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.errors import (
    AdaptorError,
    BackendUnavailable,
    BrokerError,
    ConfigError,
    ConflictingEvent,
    InDoubt,
    InvalidData,
    InvalidReply,
    LedgerError,
    MalformedEvent,
    PermanentError,
    Refused,
    TransientError,
    UnknownEventType,
)
from adapter_sdk.events import Event, EventData, Key
from adapter_sdk.handlers import handles
from adapter_sdk.pending import Pending
from adapter_sdk.retry import RetryPolicy
from adapter_sdk.verify_methods import NotApplied

__all__ = [
    "Adaptor",
    "AdaptorError",
    "BackendUnavailable",
    "BrokerError",
    "ConfigError",
    "ConflictingEvent",
    "Event",
    "EventData",
    "InDoubt",
    "InvalidData",
    "InvalidReply",
    "Key",
    "LedgerError",
    "MalformedEvent",
    "NotApplied",
    "Pending",
    "PermanentError",
    "Refused",
    "RetryPolicy",
    "TransientError",
    "UnknownEventType",
    "handles",
]
