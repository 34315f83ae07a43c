from typing import Any

import pytest

from adapter_sdk import (
    Adaptor,
    AdaptorError,
    BackendUnavailable,
    Event,
    EventData,
    InDoubt,
    InvalidData,
    NotApplied,
    Refused,
    RetryPolicy,
    TransientError,
    handles,
)
from adapter_sdk.handlers import HandlerSpec
from adapter_sdk.ledger.base import State
from adapter_sdk.outcomes import (
    AttemptsUsedUp,
    Next,
    NotSettledYet,
    RetriesExhausted,
    after_failure,
    most_attempts,
    reason_of,
    settle_delay,
)

POLICY = RetryPolicy(delays=(5, 30))


class A(EventData, type="a"):
    pass


class B(EventData, type="b"):
    pass


class C(EventData, type="c"):
    pass


class D(EventData, type="d"):
    pass


class Handlers(Adaptor):
    name = "handlers"

    @handles
    def plain(self, event: Event[A]) -> None:
        return None

    @handles(idempotent=True)
    def idempotent(self, event: Event[B]) -> None:
        return None

    @handles
    def verified(self, event: Event[C]) -> None:
        return None

    @verified.verify(settle=60)
    def was_done(self, event: Event[C]) -> NotApplied | None:
        return None

    @handles
    def verified_at_once(self, event: Event[D]) -> None:
        return None

    @verified_at_once.verify()
    def was_done_at_once(self, event: Event[D]) -> NotApplied | None:
        return None


PLAIN, IDEMPOTENT, VERIFIED, AT_ONCE = (Handlers._handlers[kind] for kind in "abcd")


def follows(state: State, reason: str, delay: float | None = None, **more: Any) -> Next:
    """What happens next."""
    return Next(state=state, reason=reason, delay=delay, **more)


@pytest.mark.parametrize(
    ("error", "attempt", "in_doubt", "handler", "expected"),
    [
        # nothing was applied
        (TransientError("x"), 1, False, PLAIN, follows(State.WAITING, "transient error", 5)),
        (TransientError("x"), 2, False, PLAIN, follows(State.WAITING, "transient error", 30)),
        (TransientError("x"), 3, False, PLAIN, follows(State.DEAD, "retries exhausted: transient error")),
        (TransientError("x"), 99, False, PLAIN, follows(State.DEAD, "retries exhausted: transient error")),
        (ValueError("bug"), 1, False, PLAIN, follows(State.WAITING, "value error", 5)),
        (AdaptorError("x"), 1, False, PLAIN, follows(State.WAITING, "adaptor error", 5)),
        (Refused("no"), 1, False, PLAIN, follows(State.DEAD, "refused")),
        (InvalidData("x"), 1, False, None, follows(State.DEAD, "invalid data")),
        (AttemptsUsedUp("x"), 4, False, PLAIN, follows(State.DEAD, "attempts used up")),
        # the backend is away
        (
            BackendUnavailable("x"),
            3,
            False,
            PLAIN,
            follows(State.CLAIMED, "backend unavailable", counts=False, release=True),
        ),
        (
            BackendUnavailable("x"),
            3,
            True,
            VERIFIED,
            follows(State.CALLING, "backend unavailable", counts=False, release=True),
        ),
        # a new doubt
        (InDoubt("x"), 1, False, PLAIN, follows(State.IN_DOUBT, "in doubt")),
        (InDoubt("x"), 1, False, IDEMPOTENT, follows(State.IN_DOUBT, "in doubt", 5)),
        (InDoubt("x"), 3, False, IDEMPOTENT, follows(State.IN_DOUBT, "in doubt")),
        (InDoubt("x"), 1, False, VERIFIED, follows(State.IN_DOUBT, "in doubt", 60)),
        (InDoubt("x"), 2, False, VERIFIED, follows(State.IN_DOUBT, "in doubt", 60)),
        (InDoubt("x"), 3, False, VERIFIED, follows(State.IN_DOUBT, "in doubt", 60)),
        (InDoubt("x"), 9, False, VERIFIED, follows(State.IN_DOUBT, "in doubt", 60)),
        (InDoubt("x"), 1, False, AT_ONCE, follows(State.IN_DOUBT, "in doubt", 1)),
        (NotSettledYet("x"), 3, True, VERIFIED, follows(State.IN_DOUBT, "not settled yet", 60, counts=False)),
        # an old doubt that this attempt did not settle
        (TransientError("x"), 1, True, VERIFIED, follows(State.IN_DOUBT, "transient error", 5)),
        (TransientError("x"), 2, True, VERIFIED, follows(State.IN_DOUBT, "transient error", 30)),
        (TransientError("x"), 3, True, VERIFIED, follows(State.IN_DOUBT, "transient error", 5)),
        (TransientError("x"), 4, True, VERIFIED, follows(State.IN_DOUBT, "transient error", 30)),
        (TransientError("x"), 5, True, VERIFIED, follows(State.IN_DOUBT, "transient error")),
        (TransientError("x"), 3, True, IDEMPOTENT, follows(State.IN_DOUBT, "transient error")),
        (InDoubt("x"), 4, True, VERIFIED, follows(State.IN_DOUBT, "in doubt", 60)),
        (InDoubt("x"), 5, True, VERIFIED, follows(State.IN_DOUBT, "in doubt")),
        (Refused("no"), 1, True, VERIFIED, follows(State.IN_DOUBT, "refused")),
        (RetriesExhausted("x"), 4, False, VERIFIED, follows(State.DEAD, "retries exhausted")),
        (ValueError("bug"), 1, True, IDEMPOTENT, follows(State.IN_DOUBT, "value error", 5)),
        (Refused("no"), 1, True, IDEMPOTENT, follows(State.IN_DOUBT, "refused")),
        (AttemptsUsedUp("x"), 4, True, PLAIN, follows(State.IN_DOUBT, "attempts used up")),
    ],
)
def test_what_happens_next(
    error: Exception, attempt: int, in_doubt: bool, handler: HandlerSpec | None, expected: Next
) -> None:
    """Each kind of error leads to its state, delay and count, as the tree of errors says."""
    found = after_failure(error, attempt=attempt, in_doubt=in_doubt, policy=POLICY, handler=handler)
    assert found == expected


@pytest.mark.parametrize("delays", [(), (5,), (5, 30, 120)])
def test_every_question_that_is_planned_is_one_that_is_allowed(delays: tuple[float, ...]) -> None:
    """A `verify` that always fails is asked at least once, and at most as often as an event is taken up."""
    policy = RetryPolicy(delays=delays)
    asked = policy.max_attempts + 1
    while True:
        failed = after_failure(TransientError("x"), attempt=asked, in_doubt=True, policy=policy, handler=VERIFIED)
        if failed.delay is None:
            break
        asked += 1
    assert policy.max_attempts < asked <= most_attempts(policy, asks=True)


def test_reasons_are_words() -> None:
    """The reason of an error is its class in words, so that dead letters can be grouped."""
    assert reason_of(BackendUnavailable("x")) == "backend unavailable"
    assert reason_of(KeyError("x")) == "key error"


def test_verify_is_never_asked_at_once() -> None:
    """Even without `settle` the backend gets a second."""
    assert [settle_delay(handler) for handler in (AT_ONCE, VERIFIED)] == [1, 60]
