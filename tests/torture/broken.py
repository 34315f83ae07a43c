"""The protocol broken on purpose, one rule at a time: `python -m tests.torture.broken NAME run APP`.

Each break goes with a pause at the place where it hurts, so that a run of moderate size meets it. A pause alone breaks
nothing: `--broken nothing` takes all of them and must pass.
"""

import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pika import spec

from adapter_sdk import outcomes, pipeline, replies
from adapter_sdk.cli import main
from adapter_sdk.errors import AdaptorError, InDoubt, PermanentError
from adapter_sdk.family import Family
from adapter_sdk.ledger import claiming, schema
from adapter_sdk.ledger.base import ClaimRequest, Entry, State, Verdict, decide
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.outbox import Outbox
from adapter_sdk.runner import Runner
from adapter_sdk.transport.base import Confirm, Delivery, Message
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from adaptors.files import FileDropAdaptor
from adaptors.files.release import Release
from adaptors.files.staging import Staged
from adaptors.soap.journal import LedgerCalls
from adaptors.sql.family import SqlFamily


@dataclass(frozen=True, slots=True)
class Break:
    """What is broken, and the family in which it shows; `ordered` if its events have to be in order for that."""

    family: str
    apply: Callable[[], None]
    what: str
    ordered: bool = False


def _replace(owner: Any, name: str, value: Any) -> None:
    """Put something else in its place. Raises AttributeError if there is nothing to replace: the code has moved on."""
    getattr(owner, name)
    setattr(owner, name, value)


def _pause_before(owner: Any, name: str, seconds: float) -> None:
    original = getattr(owner, name)

    def later(*arguments: Any, **named: Any) -> Any:
        time.sleep(seconds)
        return original(*arguments, **named)

    setattr(owner, name, later)


def _pause_after(owner: Any, name: str, seconds: float) -> None:
    original = getattr(owner, name)

    def and_wait(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        time.sleep(seconds)
        return result

    setattr(owner, name, and_wait)


def pause_everywhere() -> None:
    """Every pause that any break has, and no break."""
    _pause_before(Family, "apply", 0.02)
    _pause_before(SqlFamily, "apply", 0.4)
    _pause_after(Release, "run", 0.05)
    _pause_after(Outbox, "send", 0.05)
    _pause_before(RabbitMQTransport, "publish", 0.02)


def ack_first() -> None:
    """The delivery is settled before anything is done."""
    process = Runner._process

    def early(self: Runner, deliveries: list[Delivery]) -> None:
        self.transport.ack(deliveries)
        time.sleep(0.02)
        process(self, deliveries)

    _replace(Runner, "_process", early)


def random_reply_ids() -> None:
    """Each attempt draws its reply ids anew."""
    _replace(replies, "reply_id", lambda *_: str(uuid.uuid4()))


def no_confirms() -> None:
    """Publishing does not wait: what was handed to the socket counts as published."""
    publish = RabbitMQTransport.publish

    def unconfirmed(self: RabbitMQTransport, messages: Sequence[Message], *, timeout: float = 30.0) -> list[Confirm]:
        def send() -> None:
            time.sleep(0.05)
            with suppress(AdaptorError):
                publish(self, messages, timeout=timeout)

        threading.Thread(target=send, daemon=True).start()
        return [Confirm.CONFIRMED] * len(messages)

    _replace(RabbitMQTransport, "publish", unconfirmed)


def no_mandatory() -> None:
    """A message that no queue wants is confirmed and gone."""
    made = spec.Basic.Publish.__init__

    def optional(self: Any, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **{**named, "mandatory": False})

    _replace(spec.Basic.Publish, "__init__", optional)


def eager_key() -> None:
    """A key that is in the ledger filters duplicates, whether its event was finished or not."""
    unfinished = (State.CLAIMED, State.STAGED, State.CALLING)

    def eager(entry: Entry, request: ClaimRequest, *rest: Any) -> Verdict:
        return Verdict.DUPLICATE if entry.state in unfinished else decide(entry, request, *rest)

    _replace(claiming, "decide", eager)
    _pause_before(Family, "apply", 0.02)


def rename_without_evidence() -> None:
    """The usual recipe: write under another name, sync, rename, and skip it if a file of the name is there."""
    _replace(Staged, "read", classmethod(lambda cls, evidence: None))
    FileDropAdaptor.exists = "same"
    _pause_after(Release, "run", 0.05)


def blind_resend() -> None:
    """A call in doubt is made again without asking."""

    def again(self: Family[Any], claim: Any, journal: Any) -> Any:
        self.forget_doubt(claim, journal)
        return self.effect(claim, journal)

    _replace(Family, "_settle_doubt", again)


def verify_at_once() -> None:
    """`verify` is asked while the backend may still be busy with the call."""
    os.environ["TORTURE_SETTLE"] = "0"


def no_attempt_fencing() -> None:
    """An original that comes back after its copy is worked on as if there were none."""
    claim = SqlLedger.claim

    def unfenced(entry: Entry, request: ClaimRequest, *rest: Any) -> Verdict:
        verdict = decide(entry, request, *rest)
        return Verdict.GRANTED if verdict is Verdict.STALE else verdict

    def by_header(self: SqlLedger, requests: Sequence[ClaimRequest], now: float) -> list[tuple[Verdict, Entry]]:
        """The ledger counts attempts beside the header; without the fence there would be the header alone."""
        return [
            (verdict, replace(entry, attempts=request.attempts + 1) if verdict is Verdict.GRANTED else entry)
            for request, (verdict, entry) in zip(requests, claim(self, requests, now), strict=True)
        ]

    _replace(claiming, "decide", unfenced)
    _replace(SqlLedger, "claim", by_header)
    _pause_after(Outbox, "send", 0.05)


def no_token() -> None:
    """Whoever comes last writes the end of an event, whoever owns it; and nobody asks whether the owner lives."""
    for statement in ("RECORD", "NOTE"):
        head, found, _ = getattr(schema, statement).partition(" AND token = :token")
        if not found:
            raise AttributeError(f"{statement} has no token to leave out")
        _replace(schema, statement, f"{head} AND :token = :token")
    _replace(claiming, "decide", lambda entry, request, *_: decide(entry, request))
    _pause_before(SqlFamily, "apply", 0.4)


def no_intent() -> None:
    """A call leaves before the ledger knows of it."""
    note = LedgerCalls._note

    def forgetful(self: LedgerCalls, exhibit: Any = None) -> None:
        if all("answer" in call for call in self._calls):
            note(self, exhibit)

    _replace(LedgerCalls, "_note", forgetful)


def hot_requeue() -> None:
    """What fails goes straight back to the queue, and is not counted."""
    after_failure = outcomes.after_failure

    def at_once(error: Exception, **facts: Any) -> outcomes.Next:
        following = after_failure(error, **facts)
        if isinstance(error, (PermanentError, InDoubt)) or following.delay is None:
            return following
        return outcomes.Next(state=State.CLAIMED, reason=following.reason, counts=False, release=True)

    _replace(pipeline, "after_failure", at_once)


def overtaking() -> None:
    """An event is worked on whether earlier ones of its key have ended or not."""
    _replace(claiming.Claiming, "_hold_back", lambda *_: None)


def lanes_alone() -> None:
    """Events of a key have one worker, but the ledger knows of no order: who waits for another attempt is overtaken."""
    _replace(claiming.Claiming, "_places", lambda _, requests: [None] * len(requests))


_OF_ORDER = (overtaking, lanes_alone)

BREAKS: dict[str, Break] = {
    name.replace("_", "-"): Break(family, apply, (apply.__doc__ or "").strip(), apply in _OF_ORDER)
    for name, family, apply in (
        ("nothing", "sql,files,soap", pause_everywhere),
        ("ack_first", "sql", ack_first),
        ("random_reply_ids", "sql", random_reply_ids),
        ("no_confirms", "sql", no_confirms),
        ("no_mandatory", "sql", no_mandatory),
        ("eager_key", "files", eager_key),
        ("rename_without_evidence", "files", rename_without_evidence),
        ("blind_resend", "soap", blind_resend),
        ("verify_at_once", "soap", verify_at_once),
        ("no_attempt_fencing", "sql", no_attempt_fencing),
        ("no_token", "sql", no_token),
        ("no_intent", "soap", no_intent),
        ("hot_requeue", "sql", hot_requeue),
        ("overtaking", "sql", overtaking),
        ("lanes_alone", "files", lanes_alone),
    )
}


if __name__ == "__main__":
    BREAKS[sys.argv.pop(1)].apply()
    main()
