"""What happens next to an event whose attempt has failed. Pure: values in, a decision out."""

import re
from dataclasses import dataclass

from adapter_sdk.errors import BackendUnavailable, InDoubt, PermanentError
from adapter_sdk.handlers import HandlerSpec
from adapter_sdk.ledger.base import State
from adapter_sdk.retry import RetryPolicy

# A `verify` without `settle` still gives the backend a moment, and the broker a queue to wait in. Seconds.
_LEAST_SETTLE = 1.0


class AttemptsUsedUp(PermanentError):
    """The process died during the last attempt that the retry policy allows: another could kill it again."""


class RetriesExhausted(PermanentError):
    """`verify` says that the last attempt allowed did not apply the event."""

    def __init__(self, message: str = "`verify` says that the last attempt allowed was not applied") -> None:
        super().__init__(message)


class DeliveryLimit(PermanentError):
    """The broker gave the event up, or somebody put it where such events are."""


class NoLongerWanted(PermanentError):
    """The event was begun, and since then `where` has changed and does not match it any more."""


class NotSettledYet(InDoubt):
    """An earlier attempt is in doubt, and the backend may still be busy with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The state to record; the seconds that the broker holds the event before the next attempt, None for no other.

    `counts` says whether the attempt counts against the retry policy; `release` that the delivery goes back to the
    queue as it is. `reason` groups dead letters and doubts.
    """

    state: State
    reason: str
    delay: float | None = None
    counts: bool = True
    release: bool = False


def after_failure(
    error: Exception, *, attempt: int, in_doubt: bool, policy: RetryPolicy, handler: HandlerSpec | None
) -> Next:
    """Group an error by what happens next, as the tree in errors.py says.

    `in_doubt`: an effect of an earlier attempt is still unaccounted for, so that giving up leaves a doubt and not a
    dead letter. `handler` is None if none takes the event.
    """
    reason = reason_of(error)
    if isinstance(error, BackendUnavailable):
        # The delivery itself comes again, so the row stays a claim without an end, which is taken over.
        return Next(state=State.CALLING if in_doubt else State.CLAIMED, reason=reason, counts=False, release=True)
    if isinstance(error, NotSettledYet) and handler is not None:
        return Next(state=State.IN_DOUBT, reason=reason, delay=settle_delay(handler), counts=False)
    if isinstance(error, PermanentError):
        return Next(state=State.IN_DOUBT if in_doubt else State.DEAD, reason=reason)
    asked = in_doubt and handler is not None and handler.verify is not None
    delay = _delay_after_question(policy, attempt) if asked else policy.delay_after(attempt)
    if isinstance(error, InDoubt):
        return Next(state=State.IN_DOUBT, reason=reason, delay=_delay_of_doubt(handler, delay, new=not in_doubt))
    if in_doubt:
        return Next(state=State.IN_DOUBT, reason=reason, delay=delay)
    if delay is None:
        return Next(state=State.DEAD, reason=f"retries exhausted: {reason}")
    return Next(state=State.WAITING, reason=reason, delay=delay)


def most_attempts(policy: RetryPolicy, *, asks: bool) -> int:
    """How often an event is taken up; `asks` says that `verify` is to be asked, which has as many tries once more."""
    return policy.max_attempts * 2 if asks else policy.max_attempts


def _delay_of_doubt(handler: HandlerSpec | None, delay: float | None, *, new: bool) -> float | None:
    """A new doubt always gets its question; what no question and no repetition can tell is left to a person."""
    if handler is None or not (handler.verify or handler.options.idempotent):
        return None
    if handler.verify is None:
        return delay
    return settle_delay(handler) if new or delay is not None else None


def _delay_after_question(policy: RetryPolicy, attempt: int) -> float | None:
    """Seconds until `verify` is asked again, None for no more. When the attempts are used up the delays begin anew."""
    used_up = max(0, attempt - policy.max_attempts + 1)
    return policy.delay_after(used_up or attempt)


def settle_delay(handler: HandlerSpec) -> float:
    """Seconds between a doubtful attempt and the question to `verify`."""
    return max(handler.settle, _LEAST_SETTLE)


def reason_of(error: Exception) -> str:
    """The class of an error in words, as `InvalidData` -> "invalid data"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
