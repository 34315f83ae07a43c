"""What the log and the ledger say of an attempt's end."""

import traceback
from collections.abc import Sequence

import structlog

from adapter_sdk.errors import AdaptorError, BackendUnavailable
from adapter_sdk.ledger.base import State
from adapter_sdk.outcomes import reason_of
from adapter_sdk.work import Work

log = structlog.get_logger("adaptor")


def error_text(error: Exception) -> str:
    """An error as the ledger keeps it: a bug with the end of its traceback, anything foreseen with its sentence."""
    if isinstance(error, AdaptorError):
        return str(error) or type(error).__name__
    return "".join(traceback.format_exception(error))[-4000:]


def log_applied(works: Sequence[Work]) -> None:
    """One line for a batch: each event can be found by its id, and none costs a line of its own."""
    if len(works) == 1:
        log.info("applied", replies=len(works[0].outbox), **works[0].facts())
    elif works:
        replies = sum(len(work.outbox) for work in works)
        log.info("applied", replies=replies, count=len(works), event_ids=[work.opened.id for work in works])


def log_failure(work: Work, error: Exception, state: State, delay: float | None) -> None:
    """Why an attempt failed and what comes next: a warning as long as something does, else an error."""
    released = isinstance(error, BackendUnavailable)
    what = "released" if released else {State.DEAD: "dead letter", State.IN_DOUBT: "in doubt"}.get(state, "retry")
    write = log.warning if released or delay is not None else log.error
    write(
        what,
        reason=reason_of(error),
        error=str(error) or type(error).__name__,
        again_in=delay,
        exc_info=None if isinstance(error, AdaptorError) else error,
        **work.facts(),
    )
