"""The pipeline: a batch of deliveries in, a settlement out. The delivery guarantee is `Pipeline.process`.

Two facts carry it. The unsettled delivery is the pump: whatever dies, the broker gives the event again. The ledger is
the memory: what was done is not done again, and its stored replies are published again with the same ids.
"""

import hashlib
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import structlog

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.envelopes import Limits, Opened, open_envelope
from adapter_sdk.errors import (
    AdaptorError,
    BackendUnavailable,
    BrokerError,
    ConflictingEvent,
    InDoubt,
    LedgerError,
    MalformedEvent,
    PermanentError,
    UnknownEventType,
)
from adapter_sdk.events import Key
from adapter_sdk.family import Claim, Failed, Family, Outcome
from adapter_sdk.handlers import HandlerSpec
from adapter_sdk.ledger.base import ClaimLost, ClaimRequest, Entry, Ledger, Record, Reply, State, Verdict
from adapter_sdk.ledger.codec import pack_message
from adapter_sdk.outcomes import AttemptsUsedUp, NotSettledYet, after_failure, reason_of
from adapter_sdk.replies import reply_message, seal
from adapter_sdk.retry import RetryPolicy
from adapter_sdk.topology import RESEND_DELAY, attempts_of, copy_to, retry_queue
from adapter_sdk.transport.base import Confirm, Delivery, Message

log = structlog.get_logger("adaptor")

# An entry that nobody has touched for so long, in seconds, is no longer in the hands that left its messages unsent.
_LEFT_BEHIND = 60.0


class Publish(Protocol):
    """Publishes all and waits for all, as Transport.publish does."""

    def __call__(self, messages: Sequence[Message], /) -> list[Confirm]: ...


@dataclass(slots=True)
class Settlement:
    """What is to be done with the deliveries of a batch.

    `applied` counts effects that happened now; `unavailable` says that the backend could not be reached.
    """

    ack: list[Delivery] = field(default_factory=list)
    release: list[Delivery] = field(default_factory=list)
    applied: int = 0
    unavailable: BackendUnavailable | None = None


@dataclass(slots=True, eq=False)
class _Work:
    """One readable event on its way through the pipeline."""

    delivery: Delivery
    opened: Opened
    digest: str
    handler: HandlerSpec | None
    policy: RetryPolicy
    refusal: Exception | None = None
    claim: Claim | None = None
    entry: Entry | None = None
    outbox: list[Message] = field(default_factory=list)
    end: Record | None = None
    released: bool = False


class Pipeline:
    """Takes batches of deliveries through the life of an event, for one adaptor and its family."""

    def __init__(
        self,
        adaptor: Adaptor,
        family: Family[Any],
        ledger: Ledger,
        publish: Publish,
        *,
        exchange: str = "events",
        limits: Limits = Limits(),
        retry: RetryPolicy = RetryPolicy(),
        replies_required: bool = True,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._adaptor = adaptor
        self._name = adaptor.name
        self._family = family
        self._ledger = ledger
        self._publish = publish
        self._exchange = exchange
        self._limits = limits
        self._retry = retry
        self._replies_required = replies_required
        self._clock = clock
        self._sleep = sleep
        self._in_hand = _InHand()

    def process(self, deliveries: Sequence[Delivery]) -> Settlement:
        """Take deliveries from receipt to settlement. Ack is always last.

        Raises BrokerError or LedgerError when the broker or the ledger fails; then nothing of the batch is settled.
        """
        settlement = Settlement()
        remaining = self._admit(deliveries, settlement)
        while remaining:
            batch, remaining = _first_of_each_key(remaining)
            with self._in_hand.hold([work.opened.key for work in batch]):
                self._claim(batch)  # durable: who works on it, and how often it was tried
                self._apply([work for work in batch if work.claim is not None], settlement)
                self._record(batch)  # durable: what happened, and the replies
                self._send(batch)  # confirmed by the broker
            for work in batch:
                (settlement.release if work.released else settlement.ack).append(work.delivery)
        return settlement

    def sweep(self) -> int:
        """Publish what a process that died left unsent: replies of applied events, copies of waiting ones.

        Returns how many events it was done for. Raises BrokerError or LedgerError.
        """
        now = self._clock()
        swept = 0
        for entry in self._ledger.unsent(now - _LEFT_BEHIND, limit=100):
            if entry.state is State.CLAIMED:
                continue
            with self._in_hand.hold([entry.key]):
                swept += self._publish_again(entry, now)
        return swept

    def _publish_again(self, listed: Entry, now: float) -> bool:
        entry = self._ledger.get(listed.key)
        if entry is None or (entry.token, entry.state, entry.unsent) != (listed.token, listed.state, True):
            return False  # a worker has had it since the list was made
        messages = self._outbox_of(entry, now)
        try:
            confirms = self._publish(messages)
        except PermanentError as error:
            log.warning("left-behind message cannot be sent", error=str(error), **_facts_of(entry))
            return False
        if any(confirm is not Confirm.CONFIRMED for confirm in confirms):
            return False
        self._ledger.sent([entry.key])
        log.info("left-behind messages published", **_facts_of(entry), messages=len(messages))
        return True

    # --- receive: guards, envelope, route, validate ---

    def _admit(self, deliveries: Sequence[Delivery], settlement: Settlement) -> list[_Work]:
        works = []
        for delivery in deliveries:
            try:
                opened = open_envelope(delivery.message, self._limits)
            except MalformedEvent as error:
                self._set_aside_unreadable(delivery.message, error)
                settlement.ack.append(delivery)
                continue
            work = self._route(delivery, opened)
            if work is None:
                settlement.ack.append(delivery)
            else:
                works.append(work)
        return works

    def _route(self, delivery: Delivery, opened: Opened) -> _Work | None:
        handler = self._adaptor._handlers.get(opened.type)
        if handler is None:
            known = ", ".join(sorted(self._adaptor._handlers))
            refusal = UnknownEventType(f"no handler of {self._name} takes {opened.type!r}; it takes {known}")
            return _Work(delivery, opened, opened.digest(), None, self._retry, refusal)
        where = handler.options.where
        if where is not None and not where.matches(opened.fields()):
            log.info("passed over", reason="does not match `where`", **_facts(opened))
            return None
        return _Work(delivery, opened, opened.digest(), handler, handler.options.retry or self._retry)

    # --- claim ---

    def _claim(self, batch: Sequence[_Work]) -> None:
        now = self._clock()
        requests = [
            ClaimRequest(
                key=work.opened.key,
                digest=work.digest,
                type=work.opened.type,
                subject=work.opened.subject,
                correlation_id=_correlation(work.opened),
                attempts=attempts_of(work.delivery.message.headers),
            )
            for work in batch
        ]
        for work, (verdict, entry) in zip(batch, self._ledger.claim(requests, now), strict=True):
            work.entry = entry
            match verdict:
                case Verdict.GRANTED:
                    self._granted(work, entry, now)
                case Verdict.DUPLICATE:
                    log.info("duplicate", state=str(entry.state), **_facts(work.opened))
                    work.outbox = self._outbox_of(entry, now) if entry.unsent else []
                case Verdict.STALE:
                    log.info("stale original", attempts=entry.attempts, **_facts(work.opened))
                case Verdict.CONFLICT:
                    self._set_aside_conflict(work, entry)

    def _granted(self, work: _Work, entry: Entry, now: float) -> None:
        in_doubt = entry.state in (State.CALLING, State.IN_DOUBT)
        if work.refusal is None and work.handler is not None:
            try:
                event = work.opened.validate(work.handler.data_type)
            except Exception as error:  # noqa: BLE001 - a validator of the event data may itself have a bug
                work.refusal = error
            else:
                work.claim = Claim(
                    event=event,
                    handler=work.handler,
                    token=entry.token,
                    attempt=entry.attempts,
                    evidence=entry.evidence,
                    replies=entry.replies,
                    in_doubt=in_doubt,
                    seal=partial(seal, self._name, event, now=now),
                )
                work.refusal = self._not_now(work.claim, entry, work.policy, now)
        if work.refusal is not None:
            self._fail(work, work.refusal, in_doubt, entry.attempts)
            work.claim = None

    def _not_now(self, claim: Claim, entry: Entry, policy: RetryPolicy, now: float) -> Exception | None:
        """Why a granted claim is not to be worked on: its attempts are used up, or its doubt has not settled yet."""
        if claim.attempt > policy.max_attempts:
            return AttemptsUsedUp(f"the process ended during attempt {claim.attempt - 1}, the last one allowed")
        if claim.in_doubt and claim.handler.verify is not None and now < entry.updated_at + claim.handler.settle:
            return NotSettledYet("an earlier attempt is in doubt; `verify` is asked when it has settled")
        return None

    # --- effect ---

    def _apply(self, works: Sequence[_Work], settlement: Settlement) -> None:
        if not works:
            return
        outcomes = self._effects(works)
        for tries in range(1, max(work.policy.immediate for work in works) + 1):
            again = [index for index, work in enumerate(works) if _try_at_once(outcomes[index], work.policy, tries)]
            if not again:
                break
            self._sleep(max(works[index].policy.pause for index in again))
            for index, outcome in zip(again, self._effects([works[index] for index in again]), strict=True):
                outcomes[index] = outcome
        for work, outcome in zip(works, outcomes, strict=True):
            self._conclude(work, outcome, settlement)

    def _effects(self, works: Sequence[_Work]) -> list[Outcome]:
        claims = [work.claim for work in works if work.claim is not None]
        try:
            outcomes = list(self._family.apply(claims, self._ledger))
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001  # a family's bug is the failure of each event that it was given
            return [Failed(error) for _ in claims]
        if len(outcomes) != len(claims):
            raise AdaptorError(f"the family gave {len(outcomes)} outcomes for {len(claims)} claims")
        for outcome in outcomes:
            # The event's own failure is recorded in the ledger; the ledger's failure cannot be.
            if isinstance(outcome, Failed) and isinstance(outcome.error, LedgerError):
                raise outcome.error
        return outcomes

    def _conclude(self, work: _Work, outcome: Outcome, settlement: Settlement) -> None:
        claim = work.claim
        if claim is None:
            return
        if isinstance(outcome, Failed):
            if isinstance(outcome.error, BackendUnavailable):
                settlement.unavailable = outcome.error
            self._fail(work, outcome.error, claim.in_doubt, claim.attempt)
            return
        settlement.applied += 1
        work.outbox = self._reply_messages(outcome.replies, _correlation(work.opened))
        if not outcome.recorded:
            work.end = Record(
                key=claim.key,
                token=claim.token,
                state=State.APPLIED,
                replies=outcome.replies,
                unsent=bool(outcome.replies),
            )
        log.info("applied", attempt=claim.attempt, replies=len(outcome.replies), **_facts(work.opened))

    def _fail(self, work: _Work, error: Exception, in_doubt: bool, attempt: int) -> None:
        """Decide what becomes of a failed attempt: its record, and the copy that the broker holds until the next."""
        if isinstance(error, ClaimLost):
            work.released = True
            log.warning("claim lost", error=str(error), **_facts(work.opened))
            return
        entry = work.entry
        if entry is None:
            return
        following = after_failure(error, attempt=attempt, in_doubt=in_doubt, policy=work.policy, handler=work.handler)
        attempts = attempt if following.counts else attempt - 1
        original = work.delivery.message
        now = self._clock()
        if following.delay:
            work.outbox = [copy_to(retry_queue(self._name, following.delay), original, attempts)]
        work.released = following.release
        work.end = Record(
            key=entry.key,
            token=entry.token,
            state=following.state,
            unsent=bool(work.outbox),
            reason=following.reason,
            error=_error_text(error),
            message=original,
            due_at=None if following.delay is None else now + following.delay,
            attempts=attempts,
        )
        _log_failure(work, error, following.state, following.delay, attempt)

    # --- record and send ---

    def _record(self, batch: Sequence[_Work]) -> None:
        ending = [work for work in batch if work.end is not None]
        records = [work.end for work in ending if work.end is not None]
        for work, kept in zip(ending, self._ledger.record(records, self._clock()) if records else [], strict=True):
            if not kept:
                work.released, work.outbox = True, []
                log.warning("claim lost", error="another worker recorded this event", **_facts(work.opened))

    def _send(self, batch: Sequence[_Work]) -> None:
        sending = [work for work in batch if work.outbox]
        if not sending:
            return
        try:
            confirms = iter(self._publish([message for work in sending for message in work.outbox]))
        except PermanentError as error:
            self._send_without_the_unsendable(sending, error)
            return
        sent: list[Key] = []
        unwanted: list[_Work] = []
        for work in sending:
            fates = [(message, next(confirms)) for message in work.outbox]
            if self._settled(work, fates):
                sent.append(work.opened.key)
            else:
                unwanted.append(work)
        self._ledger.sent(sent)
        self._come_back_later(unwanted)

    def _send_without_the_unsendable(self, works: Sequence[_Work], error: PermanentError) -> None:
        """AMQP has limits, such as the size of all headers, that a copy can exceed: that event alone is set aside."""
        if len(works) > 1:
            for work in works:
                self._send([work])
            return
        (work,) = works
        log.error("message cannot be sent", error=str(error), **_facts(work.opened))
        if work.end is not None and work.end.state is not State.APPLIED:
            end = replace(work.end, state=State.DEAD, unsent=False, due_at=None, reason=reason_of(error))
            self._ledger.record([end], self._clock())

    def _settled(self, work: _Work, fates: Iterable[tuple[Message, Confirm]]) -> bool:
        """Whether every message of this event is where it belongs. Says what to do about each that is not."""
        settled = True
        for message, confirm in fates:
            if confirm is Confirm.CONFIRMED:
                continue
            if message.exchange != self._exchange:
                raise BrokerError(f"the queue {message.routing_key} does not take a copy ({confirm.value})")
            if confirm is Confirm.RETURNED and not self._replies_required:
                log.warning("reply dropped: no queue wants it", reply_type=message.type, **_facts(work.opened))
                continue
            settled = False
            log.error(
                "reply not taken",
                why=confirm.value,
                reply_type=message.type,
                remedy=f"bind a queue to exchange {self._exchange!r} with routing key {message.type!r}, "
                'or set replies = "optional" in [runner]',
                **_facts(work.opened),
            )
        return settled

    def _come_back_later(self, works: Sequence[_Work]) -> None:
        """Replies that no queue wants stay in the ledger; a copy of the event brings them up again after a while."""
        queue = retry_queue(self._name, RESEND_DELAY)
        copies = [
            copy_to(queue, work.delivery.message, attempts_of(work.delivery.message.headers)) for work in works
        ]
        if copies and any(confirm is not Confirm.CONFIRMED for confirm in self._publish(copies)):
            raise BrokerError(f"the queue {queue} does not take a copy")

    # --- messages ---

    def _reply_messages(self, replies: Iterable[Reply], correlation: str | None) -> list[Message]:
        return [reply_message(reply, self._exchange, correlation) for reply in replies]

    def _outbox_of(self, entry: Entry, now: float) -> list[Message]:
        """The messages that belong to the state of an entry, made from what the ledger keeps."""
        if entry.state is State.APPLIED:
            return self._reply_messages(entry.replies, entry.correlation_id)
        if entry.state in (State.WAITING, State.IN_DOUBT) and entry.message is not None:
            delay = (entry.due_at or now) - now
            # An overdue attempt begins at once; one whose time has not come goes round through the shortest wait.
            queue = self._name if delay <= 0 else retry_queue(self._name, RESEND_DELAY)
            return [copy_to(queue, entry.message, entry.attempts)]
        return []

    # --- dead letters without an identity of their own ---

    def _set_aside_unreadable(self, message: Message, error: MalformedEvent) -> None:
        # Of the message as a copy has it: delivered again, or put back to work, it is the same dead letter.
        digest = hashlib.sha256(pack_message(copy_to(self._name, message, 0))).hexdigest()
        entry = self._dead_letter(Key("", f"unreadable-{digest[:16]}"), digest, message, error)
        self._ledger.set_aside(entry)
        log.error("dead letter", reason=entry.reason, error=entry.error, event_id=entry.key.id, bytes=len(message.body))

    def _set_aside_conflict(self, work: _Work, entry: Entry) -> None:
        key = Key(work.opened.source, f"{work.opened.id}#{work.digest[:16]}")
        since = time.strftime("%FT%TZ", time.gmtime(entry.received_at))
        error = ConflictingEvent(f"the ledger has {entry.key} with other data, since {since}")
        dead = self._dead_letter(key, work.digest, work.delivery.message, error, work.opened)
        self._ledger.set_aside(dead)
        log.error("dead letter", reason=dead.reason, error=dead.error, **_facts(work.opened))

    def _dead_letter(
        self, key: Key, digest: str, message: Message, error: Exception, opened: Opened | None = None
    ) -> Entry:
        now = self._clock()
        return Entry(
            key=key,
            state=State.DEAD,
            type=opened.type if opened else "",
            subject=opened.subject if opened else None,
            correlation_id=_correlation(opened) if opened else None,
            digest=digest,
            message=message,
            reason=reason_of(error),
            error=str(error),
            received_at=now,
            updated_at=now,
        )


class _InHand:
    """The keys that some worker of this process works on. A second delivery of one waits until the first has ended."""

    def __init__(self) -> None:
        self._keys: set[Key] = set()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, keys: Sequence[Key]) -> Iterator[None]:
        """Take all keys at once, so that two workers never wait for each other."""
        with self._changed:
            self._changed.wait_for(lambda: self._keys.isdisjoint(keys))
            self._keys.update(keys)
        try:
            yield
        finally:
            with self._changed:
                self._keys.difference_update(keys)
                self._changed.notify_all()


def _first_of_each_key(works: Sequence[_Work]) -> tuple[list[_Work], list[_Work]]:
    """The first work of each event, and the repeated ones, which meet the ledger after it."""
    first: dict[Key, _Work] = {}
    again = [work for work in works if first.setdefault(work.opened.key, work) is not work]
    return list(first.values()), again


def _try_at_once(outcome: Outcome, policy: RetryPolicy, tries: int) -> bool:
    never = (PermanentError, BackendUnavailable, InDoubt, ClaimLost)
    return isinstance(outcome, Failed) and tries <= policy.immediate and not isinstance(outcome.error, never)


def _correlation(opened: Opened) -> str | None:
    value = opened.extensions.get("correlationid")
    return value if isinstance(value, str) else None


def _facts(opened: Opened) -> dict[str, Any]:
    return {
        "event_id": opened.id,
        "event_type": opened.type,
        "event_source": opened.source,
        "correlation_id": _correlation(opened),
    }


def _facts_of(entry: Entry) -> dict[str, Any]:
    return {
        "event_id": entry.key.id,
        "event_type": entry.type,
        "event_source": entry.key.source,
        "correlation_id": entry.correlation_id,
    }


def _error_text(error: Exception) -> str:
    """An error as the ledger keeps it: a bug with the end of its traceback, anything foreseen with its sentence."""
    if isinstance(error, AdaptorError):
        return str(error) or type(error).__name__
    return "".join(traceback.format_exception(error))[-4000:]


def _log_failure(work: _Work, error: Exception, state: State, delay: float | None, attempt: int) -> None:
    released = isinstance(error, BackendUnavailable)
    what = "released" if released else {State.DEAD: "dead letter", State.IN_DOUBT: "in doubt"}.get(state, "retry")
    write = log.warning if released or delay is not None else log.error
    write(
        what,
        reason=reason_of(error),
        error=str(error) or type(error).__name__,
        attempt=attempt,
        again_in=delay,
        exc_info=None if isinstance(error, AdaptorError) else error,
        **_facts(work.opened),
    )
