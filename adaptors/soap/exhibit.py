"""What is kept of a call that failed, for whoever looks into it: request and answer as they were, without secrets."""

from typing import Any

from adaptors.soap.record import CallRecord
from adaptors.soap.redactor import Redactor

# Of a request and of an answer, each. Bytes.
_KEPT = 65_536


def exhibit_of(record: CallRecord, request: bytes, redactor: Redactor) -> dict[str, Any] | None:
    """The exchange as a JSON value, for the ledger; None if nothing was sent.

    Text if it is UTF-8, else bytes. What is longer than 64 KiB is cut, and ends with how much is missing.
    """
    if not record.bytes_sent:
        return None
    return {
        "operation": record.operation,
        "endpoint": record.endpoint,
        "phase": str(record.phase),
        "status": record.status,
        "request": _kept(redactor.message(request)),
        "answer": _kept(redactor.message(bytes(record.received))),
    }


def _kept(content: bytes) -> str | bytes:
    left_out = len(content) - _KEPT
    more = f"… ({left_out} more bytes)" if left_out > 0 else ""
    kept = content[:_KEPT]
    try:
        return kept.decode("utf-8") + more
    except UnicodeDecodeError as error:
        if more and error.start >= _KEPT - 3:  # the cut went through a character
            return kept[: error.start].decode("utf-8") + more
    return kept + more.encode("utf-8")
