"""The pipeline: a batch of deliveries in, a settlement out. The delivery guarantee is `Pipeline.process`.

Two facts carry it. The unsettled delivery is the pump: whatever dies, the broker gives the event again. The ledger is
the memory: what was done is not done again, and its stored replies are published again with the same ids.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.admission import Admission
from adapter_sdk.crashpoints import reach
from adapter_sdk.envelopes import Limits
from adapter_sdk.errors import AdaptorError, BackendUnavailable, InDoubt, LedgerError, PermanentError
from adapter_sdk.events import Key
from adapter_sdk.family import Applied, Claim, Failed, Family, Outcome
from adapter_sdk.ledger.base import ClaimLost, ClaimRequest, Entry, Ledger, Record, State, Verdict
from adapter_sdk.loglines import error_text, log_applied, log_failure
from adapter_sdk.outbox import Outbox, Publish
from adapter_sdk.outcomes import AttemptsUsedUp, DeliveryLimit, NotSettledYet, after_failure, most_attempts
from adapter_sdk.replies import seal
from adapter_sdk.retry import RetryPolicy
from adapter_sdk.sweeping import Sweeper
from adapter_sdk.topology import BUSY_DELAY, RESEND_DELAY, attempts_of, copy_to, dead_queue, retry_queue
from adapter_sdk.transport.base import Delivery, Message
from adapter_sdk.work import FromLedger, InHand, Work, correlation_of, first_of_each_key

log = structlog.get_logger("adaptor")

# How often an event goes back to the queue as it is; then a copy of it comes round, which the broker counts anew.
_RETURNS = 3


@dataclass(slots=True)
class Settlement:
    """What is to be done with the deliveries of a batch.

    `applied` counts effects that happened now, `held` events that the ledger keeps for their turn; `unavailable` says
    that the backend could not be reached.
    """

    ack: list[Delivery] = field(default_factory=list)
    release: list[Delivery] = field(default_factory=list)
    applied: int = 0
    held: int = 0
    unavailable: BackendUnavailable | None = None


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
        self._admission = Admission(adaptor, ledger, limits, retry, clock)
        self.outbox = Outbox(
            adaptor, ledger, publish, exchange=exchange, replies_required=replies_required, clock=clock
        )
        self._clock = clock
        self._sleep = sleep
        self._in_hand = InHand()
        self.sweep = Sweeper(ledger, self.outbox, self._in_hand, clock).sweep
        self._unheard: Counter[Key] = Counter()

    def process(self, deliveries: Sequence[Delivery]) -> Settlement:
        """Take deliveries from receipt to settlement. Ack is always last.

        Raises BrokerError or LedgerError when the broker or the ledger fails; then nothing of the batch is settled.
        """
        works, done = self.admit(deliveries)
        settlement = self.work_on(works)
        settlement.ack += done
        return settlement

    def admit(self, deliveries: Sequence[Delivery]) -> tuple[list[Work], list[Delivery]]:
        """Read deliveries: those that are events to work on, and those that are to be acked. Raises LedgerError."""
        reach("received")
        works, done = self._admission.admit(deliveries)
        reach("admitted")
        return works, done

    def work_on(self, works: Sequence[Work]) -> Settlement:
        """Take admitted events to their settlement, those with one order key one after the other."""
        settlement = Settlement()
        remaining, tried = self._without_ledger(works, settlement)
        while remaining:
            batch, remaining = first_of_each_key(remaining)
            with self._in_hand.hold([work.opened.key for work in batch]):
                self._claim(batch)  # durable: who works on it, and how often it was tried
                reach("claimed")
                with self._taking_back_attempts(batch):
                    self._apply([work for work in batch if work.claim is not None], settlement, tried)
                    reach("applied")
                    self._record(batch)  # durable: what happened, and the replies
                reach("recorded")
                self.outbox.send(batch)  # confirmed by the broker
            for work in batch:
                (settlement.release if work.released else settlement.ack).append(work.delivery)
                settlement.held += work.held_anew
        return settlement

    def _without_ledger(
        self, works: Sequence[Work], settlement: Settlement
    ) -> tuple[Sequence[Work], dict[Work, Failed]]:
        """Apply the events that need no row, because their effect may be repeated and nothing points to a repetition.

        The others are returned, and with them those whose effect failed, each with its failure: the ledger counts it.
        """
        straight = [work for work in works if self._needs_no_row(work)] if self._family.repeats else []
        if not straight:
            return works, {}
        now = self._clock()
        claims = [self._claim_of(work, "", 1, now) for work in straight]
        done: set[Work] = set()
        tried: dict[Work, Failed] = {}
        for work, outcome in zip(straight, self._effects(claims), strict=True):
            if isinstance(outcome, Failed):
                tried[work] = outcome
            else:
                done.add(work)
                work.outbox = self.outbox.reply_messages(outcome.replies, correlation_of(work.opened))
        applied = [work for work in straight if work in done]
        log_applied(applied)
        self.outbox.send(applied)
        settlement.applied += len(applied)
        settlement.ack += [work.delivery for work in applied]
        return [work for work in works if work not in done], tried

    def _needs_no_row(self, work: Work) -> bool:
        return (
            work.handler is not None
            and work.handler.options.idempotent
            and not work.handler.owed  # what is owed is remembered in a row
            and work.refusal is None
            and work.order_key is None
            and not work.delivery.redelivered
            and not attempts_of(work.delivery.message.headers)
        )

    def _claim_of(self, work: Work, token: str, attempt: int, now: float) -> Claim:
        assert work.event is not None and work.handler is not None  # noqa: PT018 - both or neither
        return Claim(
            event=work.event,
            handler=work.handler,
            token=token,
            attempt=attempt,
            only_asks=attempt > work.policy.max_attempts,
            seal=partial(seal, self._name, work.event, now=now),
        )

    def take_in(self, message: Message) -> bool:
        """Make a dead letter of what the broker gave up, unless the ledger knows its end. False: in other hands now.

        Raises LedgerError.
        """
        works, _ = self._admission.admit([Delivery(message, receipt=None)])
        for work in works:
            work.refusal = work.refusal or DeliveryLimit(f"found in the queue {dead_queue(self._name)}")
            with self._in_hand.hold([work.opened.key]):
                self._claim([work])
                self._record([work])
        return not any(work.released or work.comes_back for work in works)

    @contextmanager
    def _taking_back_attempts(self, batch: Sequence[Work]) -> Iterator[None]:
        """An attempt whose end the ledger could not be told is no sign that the event kills the process."""
        keys = [work.opened.key for work in batch if work.claim is not None or work.end is not None]
        try:
            yield
        except LedgerError:
            self._unheard.update(keys)
            raise
        for key in keys:
            self._unheard.pop(key, None)

    # --- claim ---

    def _claim(self, batch: Sequence[Work]) -> None:
        now = self._clock()
        requests = [
            ClaimRequest(
                key=work.opened.key,
                digest=work.opened.digest(),
                type=work.opened.type,
                subject=work.opened.subject,
                correlation_id=correlation_of(work.opened),
                attempts=attempts_of(work.delivery.message.headers),
                order_key=work.opened.type if work.gathered else work.order_key,
                past_dead=self._adaptor.on_dead == "continue",
                gathered=work.gathered,
                # What is refused has no effect, and need not wait for its turn to be set aside.
                message=work.delivery.message if work.waits_in_ledger else None,
            )
            for work in batch
        ]
        for work, (verdict, entry) in zip(batch, self._ledger.claim(requests, now), strict=True):
            work.entry = entry
            if verdict is not Verdict.GRANTED:
                self._unheard.pop(work.opened.key, None)  # the end of that attempt is known after all, or another's
            match verdict:
                case Verdict.GRANTED:
                    self._granted(work, entry, now)
                case Verdict.DUPLICATE:
                    log.info("duplicate", state=str(entry.state), **work.facts())
                    work.outbox = self.outbox.messages_of(entry, now) if entry.unsent else []
                case Verdict.STALE:
                    log.info("stale original", **work.facts())
                case Verdict.BUSY:
                    # What stands in a line, and has its message there, the ledger gives out again.
                    work.comes_back = None if entry.place and entry.message else BUSY_DELAY
                    log.info("in other hands", again_in=work.comes_back, **work.facts())
                case Verdict.HELD:
                    at = {} if work.gathered else {"order_key": work.order_key}
                    log.info("gathered" if work.gathered else "held", **at, **work.facts())
                    work.held_anew = not isinstance(work.delivery.receipt, FromLedger)
                case Verdict.CONFLICT:
                    self._admission.set_aside_conflict(work, entry)

    def _granted(self, work: Work, entry: Entry, now: float) -> None:
        in_doubt = entry.state in (State.CALLING, State.IN_DOUBT)
        attempt = max(1, entry.attempts - self._unheard[entry.key])
        if work.refusal is None and work.handler is not None and work.event is not None:
            work.claim = self._claim_of(work, entry.token, attempt, now)
            work.claim.evidence, work.claim.replies, work.claim.in_doubt = entry.evidence, entry.replies, in_doubt
            work.claim.received_at, work.claim.again = entry.received_at, entry.received_at != now
            work.refusal = _not_now(work, work.claim, entry)
        if work.refusal is not None:
            self._fail(work, work.refusal, in_doubt, attempt)
            work.claim = None

    # --- effect ---

    def _apply(self, works: Sequence[Work], settlement: Settlement, tried: Mapping[Work, Failed]) -> None:
        if not works:
            return
        fresh = [work for work in works if work not in tried]
        made = iter(self._effects([work.claim for work in fresh if work.claim is not None]))
        outcomes = [tried[work] if work in tried else next(made) for work in works]
        for tries in range(1, max(work.policy.immediate for work in works) + 1):
            again = [index for index, work in enumerate(works) if _try_at_once(outcomes[index], work.policy, tries)]
            if not again:
                break
            self._sleep(max(works[index].policy.pause for index in again))
            claims = [claim for index in again if (claim := works[index].claim) is not None]
            for index, outcome in zip(again, self._effects(claims), strict=True):
                outcomes[index] = outcome
        for work, outcome in zip(works, outcomes, strict=True):
            self._conclude(work, outcome, settlement)
        log_applied([work for work, outcome in zip(works, outcomes, strict=True) if isinstance(outcome, Applied)])

    def _effects(self, claims: Sequence[Claim]) -> list[Outcome]:
        if not claims:
            return []
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

    def _conclude(self, work: Work, outcome: Outcome, settlement: Settlement) -> None:
        claim = work.claim
        if claim is None:
            return
        if isinstance(outcome, Failed):
            if isinstance(outcome.error, BackendUnavailable):
                settlement.unavailable = outcome.error
            self._fail(work, outcome.error, claim.in_doubt, claim.attempt)
            return
        settlement.applied += 1
        work.outbox = self.outbox.reply_messages(outcome.replies, correlation_of(work.opened))
        if not outcome.recorded:
            work.end = Record(
                key=claim.key,
                token=claim.token,
                state=State.APPLIED,
                replies=outcome.replies,
                unsent=bool(work.outbox),
            )

    def _fail(self, work: Work, error: Exception, in_doubt: bool, attempt: int) -> None:
        """Decide what becomes of a failed attempt: its record, and the copy that the broker holds until the next."""
        if isinstance(error, ClaimLost):
            _give_way(work)
            log.warning("claim lost", error=str(error), **work.facts())
            return
        entry = work.entry
        if entry is None:
            return
        following = after_failure(error, attempt=attempt, in_doubt=in_doubt, policy=work.policy, handler=work.handler)
        attempts = attempt if following.counts else attempt - 1
        original = work.delivery.message
        now = self._clock()
        if following.delay and entry.place is None:  # what is ordered waits in the ledger, whose line it is in
            work.outbox = [copy_to(retry_queue(self._name, following.delay), original, attempts)]
        if following.release and entry.place is None:  # the ledger has its message now
            # What the broker has had back too often it gives up.
            weary = (work.delivery.delivery_count or 0) >= _RETURNS
            work.released, work.comes_back = not weary, RESEND_DELAY if weary else None
        work.end = Record(
            key=entry.key,
            token=entry.token,
            state=following.state,
            unsent=bool(work.outbox),
            reason=following.reason,
            error=error_text(error),
            message=original,
            due_at=None if following.delay is None else now + following.delay,
            attempts=attempts,
        )
        log_failure(work, error, following.state, following.delay)

    # --- record ---

    def _record(self, batch: Sequence[Work]) -> None:
        ending = [work for work in batch if work.end is not None]
        records = [work.end for work in ending if work.end is not None]
        for work, kept in zip(ending, self._ledger.record(records, self._clock()) if records else [], strict=True):
            if not kept:
                _give_way(work)
                log.warning("claim lost", error="another worker recorded this event", **work.facts())


def _give_way(work: Work) -> None:
    """Another worker has the event now: it is looked at again when that one should have ended. A line waits anyway."""
    ordered = work.entry is not None and work.entry.place is not None
    work.outbox, work.released, work.comes_back = [], ordered, None if ordered else BUSY_DELAY


def _not_now(work: Work, claim: Claim, entry: Entry) -> Exception | None:
    """Why a granted claim is not to be worked on: its attempts are used up, or its doubt has not settled yet."""
    asks = claim.in_doubt and claim.handler.verify is not None
    if claim.attempt > most_attempts(work.policy, asks=asks):
        return AttemptsUsedUp(f"the process ended during attempt {claim.attempt - 1}, the last one allowed")
    if asks and not _has_settled(work, entry):
        return NotSettledYet("an earlier attempt is in doubt; `verify` is asked when it has settled")
    return None


def _has_settled(work: Work, entry: Entry) -> bool:
    """Whether a doubtful event has waited out `settle`. The broker, line or gatherer timed it: a clock may jump."""
    if isinstance(work.delivery.receipt, FromLedger):
        return entry.state is State.IN_DOUBT
    return attempts_of(work.delivery.message.headers) == entry.attempts - 1


def _try_at_once(outcome: Outcome, policy: RetryPolicy, tries: int) -> bool:
    never = (PermanentError, BackendUnavailable, InDoubt, ClaimLost)
    return isinstance(outcome, Failed) and tries <= policy.immediate and not isinstance(outcome.error, never)
