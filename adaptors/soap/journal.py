"""CallJournal: what is known of the calls of one event, so that none is made twice unseen."""

import base64
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

from adapter_sdk.errors import PermanentError
from adapter_sdk.family import Claim
from adapter_sdk.ledger.base import State
from adaptors.soap.notes import SharedNotes
from adaptors.soap.record import Answer

Exhibit = Mapping[str, Any] | None
"""What is kept of a failed call; see `exhibit`. None if nothing was sent."""

_FAILED = "failed_call"


class CallJournal(Protocol):
    """The record of the effective calls of one event. `step` counts them from 1 in the order in which they are made.

    `digest` tells whether a later attempt asks for the same. Every method may raise LedgerError or ClaimLost.
    """

    def answer_of(self, step: int, digest: str) -> Answer | None:
        """The answer that an earlier attempt was given for this step, or None: make the call.

        Raises PermanentError if the earlier attempt asked for something else.
        """
        ...

    def calling(self, step: int, operation: str, digest: str, message_id: str) -> None:
        """The call is about to leave. When this returns, the intention is durable."""
        ...

    def answered(self, step: int, answer: Answer) -> None:
        """The call had its effect, and this is the answer."""
        ...

    def not_applied(self, step: int, exhibit: Exhibit) -> None:
        """The call had no effect: it was not sent, or turned away."""
        ...

    def in_doubt(self, step: int, exhibit: Exhibit) -> None:
        """The call was sent, and what became of it is not known."""
        ...

    def unanswered(self, exhibit: Exhibit) -> None:
        """A call that only asks has failed."""
        ...


class NoCallJournal:
    """Remembers nothing: for what `verify` asks, and for direct use of a service."""

    def answer_of(self, step: int, digest: str) -> Answer | None:
        return None

    def calling(self, step: int, operation: str, digest: str, message_id: str) -> None:
        return None

    def answered(self, step: int, answer: Answer) -> None:
        return None

    def not_applied(self, step: int, exhibit: Exhibit) -> None:
        return None

    def in_doubt(self, step: int, exhibit: Exhibit) -> None:
        return None

    def unanswered(self, exhibit: Exhibit) -> None:
        return None


class FailedCalls(NoCallJournal):
    """Keeps the last failed call alone: for effects that may be repeated, and are then asked for again whole."""

    def __init__(self, notes: SharedNotes, claim: Claim) -> None:
        self._notes = notes
        self._claim = claim

    def not_applied(self, step: int, exhibit: Exhibit) -> None:
        self.unanswered(exhibit)

    def in_doubt(self, step: int, exhibit: Exhibit) -> None:
        self.unanswered(exhibit)

    def unanswered(self, exhibit: Exhibit) -> None:
        if exhibit is not None:
            state = State.CALLING if self._claim.in_doubt else State.CLAIMED
            self._notes.write(self._claim.key, self._claim.token, state, {_FAILED: exhibit})


class LedgerCalls:
    """The calls of one claim, kept in the evidence of its ledger row.

    The row is in state CALLING exactly while a call may have left and its outcome is not known. Evidence:
    `{"calls": [{"operation", "digest", "message_id", "answer"?}, ...], "failed_call"?: the last call that failed}`.
    """

    def __init__(self, notes: SharedNotes, claim: Claim) -> None:
        self._notes = notes
        self._claim = claim
        self._calls = answered_calls(claim.evidence)

    def answer_of(self, step: int, digest: str) -> Answer | None:
        if step > len(self._calls):
            return None
        earlier = self._calls[step - 1]
        if earlier["digest"] != digest:
            raise PermanentError(
                f"call {step} of {self._claim.handler.where_defined} differs from what an earlier attempt sent and had"
                f" answered ({earlier['operation']}): for the same event a handler must ask for the same;"
                " take times and numbers from the event, not from the clock"
            )
        return _unpack(earlier["answer"])

    def calling(self, step: int, operation: str, digest: str, message_id: str) -> None:
        self._calls = [
            *self._calls[: step - 1],
            {"operation": operation, "digest": digest, "message_id": message_id},
        ]
        self._note()

    def answered(self, step: int, answer: Answer) -> None:
        self._calls[step - 1]["answer"] = _pack(answer)
        # Whatever rests on the answer syncs it: the next call, and the record of the event. A power cut before that
        # leaves the call in doubt, as one in the moment before this note does.
        self._note(lazy=True)

    def not_applied(self, step: int, exhibit: Exhibit) -> None:
        del self._calls[step - 1 :]
        self._note(exhibit)

    def in_doubt(self, step: int, exhibit: Exhibit) -> None:
        self._note(exhibit)

    def unanswered(self, exhibit: Exhibit) -> None:
        self._note(exhibit)

    def _note(self, exhibit: Exhibit = None, *, lazy: bool = False) -> None:
        # A handler may go on after a doubt: as long as one of its calls has no known end, the event is in doubt.
        state = State.CLAIMED if all("answer" in call for call in self._calls) else State.CALLING
        evidence: dict[str, Any] = {"calls": [dict(call) for call in self._calls]}
        if exhibit is not None:
            evidence[_FAILED] = exhibit
        self._notes.write(self._claim.key, self._claim.token, state, evidence, lazy=lazy)
        # The claim may be tried again at once, without another look at the ledger.
        self._claim.evidence = evidence


def answered_calls(evidence: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The calls of earlier attempts up to the first without an answer."""
    calls: list[dict[str, Any]] = []
    for call in (evidence or {}).get("calls", ()):
        if "answer" not in call:
            break
        calls.append(dict(call))
    return calls


def _pack(answer: Answer) -> dict[str, Any]:
    body = base64.b64encode(zlib.compress(answer.body)).decode("ascii")
    return {"status": answer.status, "content_type": answer.content_type, "body": body}


def _unpack(kept: Mapping[str, Any]) -> Answer:
    return Answer(kept["status"], kept["content_type"], zlib.decompress(base64.b64decode(kept["body"])))
