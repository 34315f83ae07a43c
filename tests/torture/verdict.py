"""What the evidence of one family amounts to: counts, and every promise that was broken, in words. Pure."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from adapter_sdk.events import Key
from adapter_sdk.replies import reply_id
from tests.torture.backends import SOURCE
from tests.torture.campaign import DELAYS, Evidence, Row
from tests.torture.script import Fault, Kind, Planned

LARGEST = 300
"""MiB that no adaptor process may exceed."""
# How often an event may be called once more because another one ended the transaction that they shared: it is rare.
_CALLED_AGAIN = 3


@dataclass(slots=True)
class Verdict:
    """One line of the report. `broken` says which promises were not kept, with an example of each.

    `order_broken` counts events that were done after a later one of their key, None where no order is promised.
    `interrupted` counts the events that a fault met in the adaptor's hands, and calls of the ERP whose answer was lost.
    """

    family: str
    backend: str
    events: int
    sent: int
    seconds: float
    kills: int
    stops: int
    cuts: int
    half_open: int
    clock_jumps: int
    unbound: int
    broker_restarts: int
    interrupted: int = 0
    lost: int = 0
    duplicated: int = 0
    order_broken: int | None = None
    in_doubt: int = 0
    dead: int = 0
    replies_missing: int = 0
    replies_wrong: int = 0
    replies_again: int = 0
    longest_silence: float = 0.0
    largest_process: int = 0
    broken: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the report's file."""
        return asdict(self)


def judge(family: str, backend: str, evidence: Evidence, broker_restarts: int, *, ordered: bool = False) -> Verdict:
    """Compare what was planned with what the backend, the broker and the ledger hold."""
    struck, effects = evidence.struck, Counter(evidence.done)
    verdict = Verdict(
        family,
        backend,
        events=len(evidence.accepted),
        sent=evidence.sent,
        seconds=round(evidence.seconds, 1),
        kills=struck.get(Fault.KILL, 0),
        stops=struck.get(Fault.STOP, 0),
        cuts=struck.get(Fault.CUT, 0),
        half_open=struck.get(Fault.HALF_OPEN, 0),
        clock_jumps=struck.get(Fault.CLOCK, 0),
        unbound=struck.get(Fault.UNBIND, 0),
        broker_restarts=broker_restarts,
        longest_silence=round(evidence.silence, 1),
        largest_process=evidence.largest,
        dead=evidence.unreadable,
        broken=list(evidence.trouble),
    )
    complaints = Complaints()
    for event in evidence.accepted.values():
        _judge_event(family, event, effects[event.id], evidence, verdict, complaints)
    if ordered:
        verdict.order_broken = _judge_the_order(evidence, complaints)
    _judge_the_rest(evidence, complaints)
    verdict.broken += complaints.sentences()
    return verdict


class Complaints:
    """Broken promises by kind: how often, and the first few."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}

    def add(self, what: str, example: str) -> None:
        """One more of a kind."""
        self._found.setdefault(what, []).append(example)

    def sentences(self) -> list[str]:
        """One for each kind."""
        return [f"{what}: {len(found)}, such as {'; '.join(found[:3])}" for what, found in self._found.items()]


def _judge_the_order(evidence: Evidence, complaints: Complaints) -> int:
    """How many events were done after one that was sent after them, with the same key."""
    latest: dict[str, Planned] = {}
    broken = 0
    for event in (evidence.accepted[done] for done in evidence.done if done in evidence.accepted):
        before = latest.get(event.key, event)
        if event.number < before.number:
            broken += 1
            complaints.add("order broken", f"{event.id} after {before.id} ({event.key})")
        latest[event.key] = max(event, before, key=lambda each: each.number)
    return broken


def _judge_event(
    family: str, event: Planned, effects: int, evidence: Evidence, verdict: Verdict, complaints: Complaints
) -> None:
    row = evidence.rows.get(event.id)
    state = row.state if row else "unknown"
    verdict.interrupted += event.kind is Kind.PLAIN and row is not None and row.attempts > 1
    verdict.in_doubt += state == "in doubt"
    verdict.dead += state == "dead"
    known = f"{event.id} ({event.kind}, {state}{f': {row.reason}' if row and row.reason else ''})"
    if effects > 1:
        verdict.duplicated += 1
        complaints.add("effect more than once", f"{known}, {effects} times")
    if event.kind is Kind.MALFORMED:
        return
    if event.kind.dies:
        if effects or state != "dead":
            complaints.add("not set aside", f"{known}, {effects} effects")
        return
    if effects == 0 and state not in ("dead", "in doubt"):
        verdict.lost += 1
        complaints.add("lost", known)
    if state == "dead" or (state == "in doubt" and event.kind is not Kind.UNASKED):
        complaints.add("given up without need", known)
    if state == "applied" or effects:
        _judge_replies(family, event, row, evidence, verdict, complaints)


def _judge_replies(
    family: str, event: Planned, row: Row | None, evidence: Evidence, verdict: Verdict, complaints: Complaints
) -> None:
    if row is not None and row.state == "in doubt":
        return  # nobody knows that it was applied, so nobody is told
    replies = evidence.replies.get(event.id, {})
    wrong = set(replies) - {reply_id(family, Key(SOURCE, event.id), 0)}
    if not replies:
        verdict.replies_missing += 1
        complaints.add("reply missing", event.id)
    if wrong:
        verdict.replies_wrong += len(wrong)
        complaints.add("reply under another id", event.id)
    verdict.replies_again += sum(replies.values()) - len(replies)


def _judge_the_rest(evidence: Evidence, complaints: Complaints) -> None:
    malformed = sum(event.kind is Kind.MALFORMED for event in evidence.accepted.values())
    if evidence.unreadable != malformed:
        complaints.add("malformed events not set aside", f"{evidence.unreadable} of {malformed}")
    for event in set(evidence.done) - evidence.accepted.keys():
        complaints.add("effect of an event that nobody sent", event)
    for event, row in evidence.rows.items():
        if not row.final:
            complaints.add("without an end", f"{event} ({row.state})")
        if row.unsent:
            complaints.add("messages left in the ledger", event)
    for event, tries in evidence.tries.items():
        if tries > len(DELAYS) + 1 + _CALLED_AGAIN:
            complaints.add("called more often than the retry policy allows", f"{event}, {tries} times")
    for status in evidence.own_ends:
        complaints.add("an adaptor ended by itself, or not with 0", f"status {status}")
    _judge_the_limits(evidence, complaints)


def _judge_the_limits(evidence: Evidence, complaints: Complaints) -> None:
    if evidence.left_on_broker:
        complaints.add("messages left on the broker", str(evidence.left_on_broker))
    if evidence.silence > evidence.silence_allowed:
        complaints.add("work did not go on in time", f"{evidence.silence:.0f} s")
    if evidence.largest > LARGEST:
        complaints.add("an adaptor grew too large", f"{evidence.largest} MiB")
