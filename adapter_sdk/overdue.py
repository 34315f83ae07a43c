"""Telling the world that a reply is overdue: one `reply.overdue` event for each reply that is owed."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from pydantic import BaseModel

from adapter_sdk.crashpoints import reach
from adapter_sdk.envelopes import write_structured
from adapter_sdk.events import Event, EventData
from adapter_sdk.ledger.base import Ledger
from adapter_sdk.ledger.owing import Owed
from adapter_sdk.outbox import Publish
from adapter_sdk.transport.base import Confirm, Message

log = structlog.get_logger("adaptor")

# Events of one look at most.
_MOST = 200


class AwaitedFor(BaseModel):
    """The event that the reply is to answer."""

    id: str
    source: str
    type: str


class ReplyOverdue(EventData, type="reply.overdue"):
    """An event was applied, and the answer that its reply is made of has not come by `due`.

    `key` is what the answer would carry. It is taken all the same when it comes.
    """

    adaptor: str
    key: str
    event: AwaitedFor
    due: datetime


class Overdue:
    """Looks for replies that are overdue and not announced, and publishes one event for each.

    Its id is derived from the reply's: an event that is published again after a crash is the same. Nobody needs to
    listen: an event that no queue wants is dropped.
    """

    def __init__(
        self, adaptor: str, ledger: Ledger, publish: Publish, exchange: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._adaptor = adaptor
        self._ledger = ledger
        self._publish = publish
        self._exchange = exchange
        self._clock = clock

    def look(self) -> None:
        """Announce what has become overdue. Raises LedgerError or BrokerError."""
        owed = self._ledger.owed(_MOST, due_before=self._clock(), unannounced=True)
        if not owed:
            return
        confirms = self._publish([self._message(reply) for reply in owed])
        reach("overdue.announced")
        said = [reply for reply, confirm in zip(owed, confirms, strict=True) if confirm is not Confirm.NACKED]
        self._ledger.announced([reply.reply_id for reply in said])
        for reply in said:
            log.warning(
                "reply overdue",
                answer_key=reply.key,
                event_id=reply.event.id,
                event_type=reply.event_type,
                event_source=reply.event.source,
                correlation_id=reply.correlation_id,
            )

    def _message(self, owed: Owed) -> Message:
        due = datetime.fromtimestamp(owed.due_at or owed.since, UTC)
        event = Event(
            source=f"/adaptors/{self._adaptor}",
            id=f"{owed.reply_id}-overdue",
            type=str(ReplyOverdue.event_type),
            subject=owed.subject,
            time=due,
            data=ReplyOverdue(
                adaptor=self._adaptor,
                key=owed.key,
                event=AwaitedFor(id=owed.event.id, source=owed.event.source, type=owed.event_type),
                due=due,
            ),
            extensions={"correlationid": owed.correlation_id or owed.event.id, "causationid": owed.event.id},
        )
        return write_structured(event, self._exchange)
