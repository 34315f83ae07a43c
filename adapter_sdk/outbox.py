"""The outbox: what belongs to the state of an event goes to the broker, confirmed, before its delivery is settled."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import structlog

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.crashpoints import reach
from adapter_sdk.errors import BrokerError, PermanentError
from adapter_sdk.events import Key
from adapter_sdk.ledger.base import Entry, Ledger, Reply, State, to_send
from adapter_sdk.outcomes import reason_of, settle_delay
from adapter_sdk.pace import shared
from adapter_sdk.replies import reply_message
from adapter_sdk.topology import RESEND_DELAY, attempts_of, copy_to, retry_queue
from adapter_sdk.transport.base import Confirm, Message
from adapter_sdk.work import FromLedger, Work, facts_of_entry

log = structlog.get_logger("adaptor")


class Publish(Protocol):
    """Publishes all and waits for all, as Transport.publish does."""

    def __call__(self, messages: Sequence[Message], /) -> list[Confirm]: ...


class Outbox:
    """Publishes replies and copies, and notes in the ledger what the broker has confirmed."""

    def __init__(
        self,
        adaptor: Adaptor,
        ledger: Ledger,
        publish: Publish,
        *,
        exchange: str,
        replies_required: bool,
        clock: Callable[[], float],
    ) -> None:
        self._name = adaptor.name
        self._settle = {
            handler.event_type: settle_delay(handler)
            for handler in adaptor._handlers.values()
            if handler.verify is not None
        }
        self._ledger = ledger
        self._publish = shared(publish)
        self._exchange = exchange
        self._replies_required = replies_required
        self._clock = clock

    def reply_messages(self, replies: Iterable[Reply], correlation: str | None) -> list[Message]:
        """The messages that publish these replies."""
        return [reply_message(reply, self._exchange, correlation) for reply in to_send(replies)]

    def messages_of(self, entry: Entry, now: float) -> list[Message]:
        """The messages that belong to the state of an entry, made from what the ledger keeps."""
        if entry.state is State.APPLIED:
            return self.reply_messages(entry.replies, entry.correlation_id)
        if entry.state in (State.WAITING, State.IN_DOUBT) and entry.message is not None:
            return [copy_to(self._queue_for(entry, now), entry.message, entry.attempts)]
        return []

    def _queue_for(self, entry: Entry, now: float) -> str:
        """An overdue attempt begins at once; one whose time has not come goes round through the shortest wait.

        A doubt waits for its question anew: if the clock has jumped it is not as old as it looks.
        """
        if entry.state is State.IN_DOUBT and entry.type in self._settle:
            return retry_queue(self._name, self._settle[entry.type])
        return self._name if (entry.due_at or now) <= now else retry_queue(self._name, RESEND_DELAY)

    def send(self, batch: Sequence[Work]) -> None:
        """Publish what the works have for the broker, all together. Raises BrokerError if a copy is not taken.

        A reply that is not taken stays in the ledger; its event comes back later.
        """
        sending = [work for work in batch if work.outbox]
        if sending:
            self._send_outboxes(sending)
        self._come_back_later(
            [
                work
                for work in batch
                if work.comes_back is not None and not isinstance(work.delivery.receipt, FromLedger)
            ]
        )

    def _send_outboxes(self, sending: Sequence[Work]) -> None:
        try:
            confirms = iter(self._publish([message for work in sending for message in work.outbox]))
        except PermanentError as error:
            self._send_without_the_unsendable(sending, error)
            return
        reach("published")
        sent: list[tuple[Key, str]] = []
        for work in sending:
            fates = [(message, next(confirms)) for message in work.outbox]
            if not self._settled(fates, work.facts):
                work.comes_back = RESEND_DELAY
            elif work.entry is not None:
                sent.append((work.opened.key, work.entry.token))
        if sent:
            self._ledger.sent(sent)
        reach("marked")

    def _send_without_the_unsendable(self, works: Sequence[Work], error: PermanentError) -> None:
        """AMQP has limits, such as the size of all headers, that a copy can exceed: that event alone is set aside."""
        if len(works) > 1:
            for work in works:
                self._send_outboxes([work])
            return
        (work,) = works
        log.error("message cannot be sent", error=str(error), **work.facts())
        if work.end is not None and work.end.state is not State.APPLIED:
            state = work.end.state if work.end.state is State.IN_DOUBT else State.DEAD
            end = replace(work.end, state=state, unsent=False, due_at=None, reason=reason_of(error))
            self._ledger.record([end], self._clock())

    def _settled(self, fates: Iterable[tuple[Message, Confirm]], facts: Callable[[], Mapping[str, Any]]) -> bool:
        """Whether every message of this event is where it belongs. Says what to do about each that is not."""
        settled = True
        for message, confirm in fates:
            if confirm is Confirm.CONFIRMED:
                continue
            if message.exchange != self._exchange:
                raise BrokerError(f"the queue {message.routing_key} does not take a copy ({confirm.value})")
            if self._dropped(message, confirm, facts):
                continue
            settled = False
            log.error(
                "reply not taken",
                why=confirm.value,
                reply_type=message.type,
                remedy=f"bind a queue to exchange {self._exchange!r} with routing key {message.type!r}, "
                'or set replies = "optional" in [runner]',
                **facts(),
            )
        return settled

    def _dropped(self, message: Message, confirm: Confirm, facts: Callable[[], Mapping[str, Any]]) -> bool:
        """Whether this is a reply that no queue wants, and none has to; if so, that is said."""
        if self._replies_required or confirm is not Confirm.RETURNED or message.exchange != self._exchange:
            return False
        log.warning("reply dropped: no queue wants it", reply_type=message.type, **facts())
        return True

    def _come_back_later(self, works: Sequence[Work]) -> None:
        """A copy of the event comes again after a while, as it is: what the ledger has of it stays unchanged."""
        copies = []
        for work in works:
            message = work.delivery.message
            queue = retry_queue(self._name, work.comes_back or RESEND_DELAY)
            copies.append(copy_to(queue, message, attempts_of(message.headers)))
        if copies and any(confirm is not Confirm.CONFIRMED for confirm in self._publish(copies)):
            raise BrokerError(f"the delay queues of {self._name} do not take a copy")

    def publish_replies(self, applied: Sequence[tuple[Entry, tuple[Reply, ...]]]) -> None:
        """Publish these replies of events that were applied before. What is not taken stays for the sweep."""
        outboxes = [(entry, self.reply_messages(replies, entry.correlation_id)) for entry, replies in applied]
        if not outboxes:
            return
        try:
            confirms = iter(self._publish([message for _, messages in outboxes for message in messages]))
        except PermanentError as error:
            if len(applied) == 1:
                log.error("message cannot be sent", error=str(error), **facts_of_entry(applied[0][0]))  # noqa: TRY400
                return
            for one in applied:
                self.publish_replies([one])
            return
        sent = [
            (entry.key, entry.token)
            for entry, messages in outboxes
            if self._settled([(message, next(confirms)) for message in messages], partial(facts_of_entry, entry))
        ]
        if sent:
            self._ledger.sent(sent)

    def publish_again(self, listed: Entry, now: float) -> bool:
        """Publish what a process that died left unsent, if nothing has changed since `listed` was read."""
        entry = self._ledger.get(listed.key)
        if entry is None or (entry.token, entry.state, entry.unsent) != (listed.token, listed.state, True):
            return False  # a worker has had it since the list was made
        messages = self.messages_of(entry, now)
        try:
            confirms = self._publish(messages)
        except PermanentError as error:
            log.warning("left-behind message cannot be sent", error=str(error), **facts_of_entry(entry))
            return False
        facts = partial(facts_of_entry, entry)
        for message, confirm in zip(messages, confirms, strict=True):
            if confirm is not Confirm.CONFIRMED and not self._dropped(message, confirm, facts):
                return False
        self._ledger.sent([(entry.key, entry.token)])
        log.info("left-behind messages published", **facts_of_entry(entry), messages=len(messages))
        return True
