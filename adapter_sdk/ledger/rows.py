"""An entry of the ledger as a row of its table, and back."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from adapter_sdk.events import Key
from adapter_sdk.ledger.base import Entry, Place, State
from adapter_sdk.ledger.codec import (
    pack_decisions,
    pack_json,
    pack_message,
    pack_replies,
    unpack_decisions,
    unpack_json,
    unpack_message,
    unpack_replies,
)

LONGEST_ERROR = 8000
"""Characters of an error text, with the end of its traceback, that a row keeps."""


@lru_cache(maxsize=4096)
def event_hash(key: Key) -> str:
    """SHA-256 of source and id: a primary key of one length, whatever producers choose as ids."""
    return hashlib.sha256(f"{key.source}\n{key.id}".encode()).hexdigest()


def row_of(entry: Entry, adaptor: str) -> dict[str, Any]:
    """The parameters that write an entry of an adaptor, by column."""
    return {
        "adaptor": adaptor,
        "event_hash": event_hash(entry.key),
        "source": entry.key.source,
        "id": entry.key.id,
        "type": entry.type,
        "subject": entry.subject,
        "correlation_id": fitting(entry.correlation_id, 2048),
        "digest": entry.digest,
        "state": entry.state,
        "attempts": entry.attempts,
        "token": entry.token,
        "owner": entry.owner,
        "unsent": int(entry.unsent),
        "replies": pack_replies(entry.replies) if entry.replies else None,
        "evidence": None if entry.evidence is None else pack_json(entry.evidence),
        "message": pack_message(entry.message) if entry.message else None,
        "reason": fitting(entry.reason, 255),
        "error": fitting(entry.error, LONGEST_ERROR),
        "received_at": entry.received_at,
        "updated_at": entry.updated_at,
        "due_at": entry.due_at,
        "decisions": pack_decisions(entry.decisions) if entry.decisions else None,
        "order_key": entry.place.order_key if entry.place else None,
        "arrival": entry.place.arrival if entry.place else None,
    }


def claim_of(entry: Entry, adaptor: str) -> dict[str, Any]:
    """The parameters of `schema.CLAIM`, for an entry that is new."""
    return {
        "adaptor": adaptor,
        "event_hash": event_hash(entry.key),
        "source": entry.key.source,
        "id": entry.key.id,
        "type": entry.type,
        "subject": entry.subject,
        "correlation_id": fitting(entry.correlation_id, 2048),
        "digest": entry.digest,
        "token": entry.token,
        "owner": entry.owner,
        "received_at": entry.received_at,
        "order_key": entry.place.order_key if entry.place else None,
        "arrival": entry.place.arrival if entry.place else None,
    }


def entry_of(row: Sequence[Any]) -> Entry:
    """The entry that a row of `schema.COLUMNS` is."""
    (source, id_, type_, subject, correlation, digest, state, attempts, token, owner, unsent) = row[:11]
    (replies, evidence, message, reason, error, received, updated, due, decisions, order_key, arrival) = row[11:]
    return Entry(
        key=Key(source, id_),
        state=State(state),
        type=type_,
        subject=subject,
        correlation_id=correlation,
        digest=digest.strip(),
        attempts=attempts,
        token=token.strip(),
        owner=owner,
        unsent=bool(unsent),
        replies=unpack_replies(bytes(replies)) if replies else (),
        evidence=None if evidence is None else unpack_json(bytes(evidence)),
        message=unpack_message(bytes(message)) if message else None,
        reason=reason,
        error=error,
        received_at=received,
        updated_at=updated,
        due_at=due,
        decisions=unpack_decisions(bytes(decisions)) if decisions else (),
        place=None if order_key is None else Place(order_key, arrival),
    )


def fitting(text: str | None, limit: int) -> str | None:
    """Text as every database takes it: no NUL, no half of a surrogate pair, and columns have a length."""
    if text is None or (text.isprintable() and len(text) <= limit):
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "backslashreplace").decode("utf-8")[:limit]
