"""Admission: from a delivery to work for a handler, or to a dead letter. Guards, envelope, route.

Messages that have no row of their own in the ledger, because they are unreadable or use the identity of another event,
are set aside here, byte for byte.
"""

import hashlib
import time
from collections.abc import Callable, Sequence

import structlog

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.cut_offs import CutOff, handler_of_cut_off
from adapter_sdk.envelopes import Limits, Opened, open_envelope
from adapter_sdk.errors import ConflictingEvent, InvalidData, LedgerError, MalformedEvent, UnknownEventType
from adapter_sdk.events import Key
from adapter_sdk.handlers import HandlerSpec
from adapter_sdk.ledger.base import Entry, Ledger, Record, State
from adapter_sdk.ledger.codec import pack_message
from adapter_sdk.ordering import declared_order, order_key
from adapter_sdk.outcomes import NoLongerWanted, reason_of
from adapter_sdk.retry import RetryPolicy
from adapter_sdk.topology import attempts_of, copy_to
from adapter_sdk.transport.base import Delivery, Message
from adapter_sdk.work import FromLedger, Work, correlation_of, facts_of

log = structlog.get_logger("adaptor")


class Admission:
    """What an adaptor does with a delivery before the ledger is asked for it."""

    def __init__(
        self, adaptor: Adaptor, ledger: Ledger, limits: Limits, retry: RetryPolicy, clock: Callable[[], float]
    ) -> None:
        self._adaptor = adaptor
        self._name = adaptor.name
        self._ordered_by = declared_order(type(adaptor))
        self._gathers = adaptor._gathering is not None
        self._ledger = ledger
        self._limits = limits
        self._retry = retry
        self._clock = clock

    def admit(self, deliveries: Sequence[Delivery]) -> tuple[list[Work], list[Delivery]]:
        """The works that the deliveries are, and the deliveries that are done with: set aside or passed over.

        Raises LedgerError.
        """
        works, done = [], []
        for delivery in deliveries:
            try:
                work = self._route(delivery, open_envelope(delivery.message, self._limits))
            except MalformedEvent as error:
                self._set_aside_unreadable(delivery, error)
                work = None
            except LedgerError:
                raise
            except Exception as error:  # noqa: BLE001  # a bug that one message meets must not hold up all others
                unread = MalformedEvent(f"reading it met a bug in the toolkit: {type(error).__name__}: {error}")
                self._set_aside_unreadable(delivery, unread, bug=error)
                work = None
            if work is None:
                done.append(delivery)
            else:
                works.append(work)
        return works, done

    def _route(self, delivery: Delivery, opened: Opened) -> Work | None:
        handler = self._handler_of(opened)
        if handler is None:
            known = ", ".join(sorted(self._adaptor._handlers))
            refusal = UnknownEventType(f"no handler of {self._name} takes {opened.type!r}; it takes {known}")
            return Work(delivery, opened, None, self._retry, refusal=refusal)
        where = handler.options.where
        work = Work(delivery, opened, handler, handler.options.retry or self._retry)
        if where is not None and not where.matches(opened.fields()):
            if not self._is_begun(delivery, opened.key):
                log.info("passed over", reason="does not match `where`", **facts_of(opened))
                return None
            work.refusal = NoLongerWanted("it was begun when `where` said otherwise; now `where` does not match it")
        try:
            work.event = opened.validate(handler.data_type)
        except Exception as error:  # noqa: BLE001 - a validator of the event data may itself have a bug
            work.refusal = work.refusal or error
        try:
            work.order_key = order_key(self._ordered_by, opened, work.event)
        except InvalidData as error:
            work.refusal = work.refusal or error
        # What is refused has no effect, and need not wait for others to be set aside.
        work.gathered = self._gathers and work.refusal is None and not isinstance(delivery.receipt, FromLedger)
        return work

    def _handler_of(self, opened: Opened) -> HandlerSpec | None:
        handlers = self._adaptor._handlers
        if self._gathers and opened.type == CutOff.event_type:
            handler = handlers.get(opened.subject or "")
            return handler and handler_of_cut_off(handler)
        return handlers.get(opened.type)

    def _is_begun(self, delivery: Delivery, key: Key) -> bool:
        """Whether the ledger waits for the end of this event. Passed over, it would wait for ever, and its line too."""
        if not delivery.redelivered and not attempts_of(delivery.message.headers):
            return False
        entry = self._ledger.get(key)
        return entry is not None and entry.state not in (State.APPLIED, State.DEAD, State.DISCARDED)

    def _set_aside_unreadable(self, delivery: Delivery, error: MalformedEvent, bug: Exception | None = None) -> None:
        message, receipt = delivery.message, delivery.receipt
        if isinstance(receipt, FromLedger):  # a limit has become stricter since it was held
            reason = reason_of(error)
            end = Record(key=receipt.key, token=receipt.token, state=State.DEAD, reason=reason, error=str(error))
            self._ledger.record([end], self._clock())
            log.error("dead letter", reason=reason, error=str(error), event_id=receipt.key.id, exc_info=bug)
            return
        # Of the message as a copy has it: delivered again, or put back to work, it is the same dead letter.
        digest = hashlib.sha256(pack_message(copy_to(self._name, message, 0))).hexdigest()
        entry = self._dead_letter(Key("", f"unreadable-{digest[:16]}"), digest, message, error)
        self._ledger.set_aside(entry)
        facts = {"reason": entry.reason, "error": entry.error, "event_id": entry.key.id, "bytes": len(message.body)}
        log.error("dead letter", exc_info=bug, **facts)

    def set_aside_conflict(self, work: Work, entry: Entry) -> None:
        """The same identity was seen with other data (`entry`): keep this one beside it, as a dead letter."""
        digest = work.opened.digest()
        key = Key(work.opened.source, f"{work.opened.id}#{digest[:16]}")
        since = time.strftime("%FT%TZ", time.gmtime(entry.received_at))
        error = ConflictingEvent(f"the ledger has {entry.key} with other data, since {since}")
        dead = self._dead_letter(key, digest, work.delivery.message, error, work.opened)
        self._ledger.set_aside(dead)
        log.error("dead letter", reason=dead.reason, error=dead.error, **work.facts())

    def _dead_letter(
        self, key: Key, digest: str, message: Message, error: Exception, opened: Opened | None = None
    ) -> Entry:
        now = self._clock()
        return Entry(
            key=key,
            state=State.DEAD,
            type=opened.type if opened else "",
            subject=opened.subject if opened else None,
            correlation_id=correlation_of(opened) if opened else None,
            digest=digest,
            message=message,
            reason=reason_of(error),
            error=str(error),
            received_at=now,
            updated_at=now,
        )
