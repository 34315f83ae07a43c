"""Answering: a later answer meets the event that is owed a reply under its key.

One commit stores the sealed reply and notes which answer it came of; then the reply is published, as every other one
is. An answer that nothing is owed for may have been quicker than the end of its event in the ledger. So it is left
where it is for a while before it is set aside.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.answers import Answer, Completion
from adapter_sdk.crashpoints import reach
from adapter_sdk.errors import AdaptorError, InvalidReply, PermanentError
from adapter_sdk.events import EventData, Key
from adapter_sdk.family import Family
from adapter_sdk.ledger.base import Decision, Entry, Ledger, Reply, State
from adapter_sdk.ledger.codec import pack_message
from adapter_sdk.ledger.database import Rows
from adapter_sdk.ledger.owed import answers_of
from adapter_sdk.ledger.owing import Answering
from adapter_sdk.loglines import error_text
from adapter_sdk.outbox import Outbox
from adapter_sdk.outcomes import reason_of
from adapter_sdk.replies import seal_answer
from adapter_sdk.work import facts_of_entry

log = structlog.get_logger("adaptor")


class UnmatchedAnswer(PermanentError):
    """No event was owed a reply under the key of an answer."""


@dataclass(frozen=True, slots=True)
class _End:
    """What became of an answer: the error that it met, or its event and those of its replies that are not out yet."""

    completion: Completion
    entry: Entry | None = None
    replies: tuple[Reply, ...] = ()
    error: Exception | None = None


class AnswerDesk:
    """Completes the events of one adaptor with the answers that its family has found.

    An answer without an event is set aside when it has been found for `unmatched_after` seconds.
    """

    def __init__(
        self,
        adaptor: Adaptor,
        ledger: Ledger,
        outbox: Outbox,
        *,
        unmatched_after: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._adaptor = adaptor
        self._ledger = ledger
        self._outbox = outbox
        self._unmatched_after = unmatched_after
        self._clock = clock
        self._first_seen: dict[str, float] = {}

    def complete(
        self, answers: Sequence[Answer], also: Callable[[Rows, Sequence[Completion]], None] | None = None
    ) -> list[Completion]:
        """Complete the events that these answers are for: one completion per answer, durable when it returns."""
        if not answers:
            return []
        made = [self._reply_data(answer) for answer in answers]
        with self._ledger.answering() as table:
            ends = [self._end(table, answer, data) for answer, data in zip(answers, made, strict=True)]
            completions = [end.completion for end in ends]
            if also is not None:
                also(table.rows, completions)
        reach("answers.completed")
        self._publish(ends)
        reach("answers.sent")
        for answer, end in zip(answers, ends, strict=True):
            self._conclude(answer, end)
        return completions

    def replay(self, family: Family[Any], entry: Entry, decision: Decision) -> Completion:
        """Try an answer again that was set aside, and close its dead letter if it has found its event now.

        Else nothing is changed. Raises AdaptorError if no method takes such answers any more.
        """
        known = entry.evidence or {}
        specs = [spec for handler in self._adaptor._handlers.values() for spec in handler.answers]
        spec = next((spec for spec in specs if spec.name == known.get("method")), None)
        if spec is None or entry.message is None:
            raise AdaptorError(f"{entry.key.id}: no method of {self._adaptor.name} takes this answer any more")
        try:
            record = family.read_answer(spec, entry.message)
        except Exception as error:
            raise AdaptorError(f"{entry.key.id}: the answer cannot be read: {error}") from error
        origin = str(known.get("origin", ""))
        answer = Answer(id=entry.key.id, spec=spec, record=record, message=entry.message, origin=origin)
        data = self._reply_data(answer)
        with self._ledger.answering() as table:
            end = self._match(table, answer, data)
            if end.completion in (Completion.MATCHED, Completion.REPEATED):
                table.close(entry.key, decision)
        self._publish([end])
        return end.completion

    # --- one answer ---

    def _reply_data(self, answer: Answer) -> EventData | Exception:
        """What the adaptor's method makes of an answer. It is not asked for the event, so it can be asked before."""
        if isinstance(answer.record, Exception):
            return answer.record
        try:
            return answer.spec.check_reply(getattr(self._adaptor, answer.spec.name)(answer.record))
        except Exception as error:  # noqa: BLE001  # the method's bug is the end of this answer alone
            return error

    def _end(self, table: Answering, answer: Answer, data: EventData | Exception) -> _End:
        if table.dead_letter(self._key(answer)):
            return _End(Completion.REPEATED)
        end = self._match(table, answer, data)
        if end.completion is Completion.UNMATCHED:
            first = self._first_seen.setdefault(answer.id, time.monotonic())
            if time.monotonic() - first < self._unmatched_after:
                return _End(Completion.EARLY)
            wanted = f"no event of type {answer.spec.event_type} is owed a reply under the key {answer.key!r}"
            end = _End(Completion.UNMATCHED, error=UnmatchedAnswer(wanted))
        if end.error is not None:
            table.set_aside(self._dead_letter(answer, end.error))
        return end

    def _match(self, table: Answering, answer: Answer, data: EventData | Exception) -> _End:
        """MATCHED, and completed then; REPEATED, UNMATCHED or REFUSED, with nothing changed."""
        completed = table.completed_by(self._key(answer))
        if completed is not None:
            return _End(Completion.REPEATED, *((completed, completed.replies) if completed.unsent else ()))
        if isinstance(data, Exception):
            return _End(Completion.REFUSED, error=data)
        # No event is owed a reply under any other key, and PostgreSQL would not even look for a NUL.
        found = table.oldest(answer.spec.event_type, answer.key) if answer.key.isprintable() else None
        if found is None:
            return _End(Completion.UNMATCHED)
        entry, owed = found
        try:
            reply = seal_answer(self._adaptor.name, entry, owed, data, self._clock())
        except InvalidReply as error:
            return _End(Completion.REFUSED, error=error)
        now = table.complete(entry, reply, self._key(answer))
        return _End(Completion.MATCHED, now, now.replies if entry.unsent else (reply,))

    def _key(self, answer: Answer) -> Key:
        return Key(answers_of(self._adaptor.name), answer.id)

    def _dead_letter(self, answer: Answer, error: Exception) -> Entry:
        now = self._clock()
        return Entry(
            key=self._key(answer),
            state=State.DEAD,
            type=f"answer to {answer.spec.event_type}",
            digest=hashlib.sha256(pack_message(answer.message)).hexdigest(),
            message=answer.message,
            evidence={"method": answer.spec.name, "origin": answer.origin},
            reason=reason_of(error),
            error=f"{answer.origin}: {error_text(error)}",
            received_at=now,
            updated_at=now,
        )

    # --- afterwards ---

    def _publish(self, ends: Sequence[_End]) -> None:
        self._outbox.publish_replies([(end.entry, end.replies) for end in ends if end.entry is not None])

    def _conclude(self, answer: Answer, end: _End) -> None:
        facts = {"answer_id": answer.id, "answer_key": answer.key, "origin": answer.origin}
        match end.completion:
            case Completion.EARLY:
                log.debug("answer without an event yet", **facts)
                return
            case Completion.MATCHED if end.entry is not None:
                log.info("answered", **facts, **facts_of_entry(end.entry))
            case Completion.REPEATED:
                log.info("answer repeated", **facts)
            case _:
                error = end.error or AdaptorError()
                bug = None if isinstance(error, AdaptorError) else error
                log.error("answer set aside", reason=reason_of(error), error=str(error), exc_info=bug, **facts)
        self._first_seen.pop(answer.id, None)
