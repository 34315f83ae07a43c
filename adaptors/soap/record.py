"""CallRecord: how far one call came. Exceptions alone cannot tell "not sent" from "executed", this can."""

from dataclasses import dataclass, field
from enum import StrEnum

from adaptors.soap.faults import SoapFault


class Phase(StrEnum):
    """Where a call stands. Each phase is entered before its work begins."""

    BUILD = "build"
    CONNECT = "connect"
    SEND = "send"
    """The request is on its way; `bytes_sent` tells whether any of its body left."""
    RESPONSE = "response"
    """All of the request left; the answer has not arrived whole."""
    PARSE = "parse"
    """The answer arrived whole."""


@dataclass(slots=True)
class CallRecord:
    """One call of one operation. Times are seconds since the call began; None where it did not come so far.

    `bytes_sent` counts the body alone, the envelope: without any of it there is nothing to execute. `received` is what
    has come of the answer's body, decompressed. `failure` says in words why the phase did not end well. `retry_after`
    is what the server asked for, in seconds.
    """

    operation: str
    endpoint: str
    phase: Phase = Phase.BUILD
    reused_connection: bool = False
    bytes_sent: int = 0
    bytes_received: int = 0
    received: bytearray = field(default_factory=bytearray, repr=False)
    status: int | None = None
    retry_after: float | None = None
    fault: SoapFault | None = None
    failure: str | None = None
    connected_at: float | None = None
    sent_at: float | None = None
    answered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP, whole: the status, the media type with its parameters, and the body."""

    status: int
    content_type: str
    body: bytes
