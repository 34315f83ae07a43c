"""What must hold after a crash, whatever the crash point. Pure: findings in, a sentence per broken promise out."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.crashpoints import DOUBTFUL, POINTS
from adapter_sdk.envelopes import Limits, open_envelope, write_structured
from adapter_sdk.events import Event
from adapter_sdk.family import Family
from adapter_sdk.handlers import HandlerSpec
from adapter_sdk.ledger.base import Entry, State
from adapter_sdk.ordering import declared_order, order_key
from adapter_sdk.replies import reply_id
from adapter_sdk.testing.crashpoints.trial import Findings, waits_for_a_person


def broken_promises(findings: Findings, adaptor: type[Adaptor], family: Family[Any]) -> list[str]:
    """A sentence for each promise that was not kept: which one, for which event, after which crash. Empty: all held."""
    faults = [f"{event.id}: {fault}" for event in findings.events for fault in _faults(event, findings, family)]
    faults += [fault for event in findings.events for fault in _reply_faults(event, findings, adaptor)]
    faults += _order_faults(findings, adaptor)
    if findings.doomed is not None:
        entry = findings.entries.get(findings.doomed)
        if entry is None or entry.state is not State.DEAD or entry.message is None:
            faults.append(f"{findings.doomed.id}: dead letter lost: the ledger has {_standing(entry)}")
        if findings.effects.get(findings.doomed.id):
            faults.append(f"{findings.doomed.id}: a dead letter had an effect")
    faults += [
        f"not settled: {count} message(s) left in the queue {queue}" for queue, count in findings.left.items() if count
    ]
    faults += [f"{key}: accounted for twice: the ledger has this dead letter besides" for key in findings.strays]
    where = f"{findings.crash}, where {POINTS[findings.crash.point]}"
    return [f"{fault} [{where}] [promise: {family.promise}]" for fault in faults]


def _faults(event: Event[Any], findings: Findings, family: Family[Any]) -> Iterator[str]:
    entry, effects = findings.entries.get(event.key), findings.effects.get(event.id, 0)
    options = _handler(event, family).options
    verified = _handler(event, family).verify is not None
    state = None if entry is None else entry.state
    if effects > 1 and not (family.repeats or options.idempotent):
        yield f"done twice: the backend has its effect {effects} times"
    if state is State.APPLIED:
        if not effects:
            yield "lost: the ledger says applied, and the backend has no effect of it"
    elif state is State.IN_DOUBT:
        if not family.leaves_doubt or verified or options.idempotent or findings.crash.point not in DOUBTFUL:
            yield f"left in doubt without need: {_standing(entry)}"
    elif entry is not None and not effects and waits_for_a_person(entry, findings.entries.values()):
        return
    elif effects:
        yield f"forgotten: the backend has its effect, and the ledger has {_standing(entry)}"
    else:
        yield f"lost: no effect, and the ledger has {_standing(entry)}"


def _reply_faults(event: Event[Any], findings: Findings, adaptor: type[Adaptor]) -> Iterator[str]:
    entry = findings.entries.get(event.key)
    replies = entry.replies if entry is not None and entry.state is State.APPLIED else ()
    out = [position for position, reply in enumerate(replies) if reply.owed is None]
    wanted = {reply_id(adaptor.name, event.key, position) for position in out}
    came: dict[str | None, set[bytes]] = {}
    for message in findings.replies.get(event.id, ()):
        came.setdefault(message.message_id, set()).add(message.body)
    for lost in sorted(wanted - came.keys()):
        yield f"{event.id}: reply lost: {lost} was never published"
    for strange in came.keys() - wanted:
        yield f"{event.id}: reply unstable: {strange} is not the id that this event's replies have"
    for known, bodies in came.items():
        if len(bodies) > 1:
            yield f"{event.id}: reply unstable: {known} was published with {len(bodies)} different contents"


def _order_faults(findings: Findings, adaptor: type[Adaptor]) -> Iterator[str]:
    lines: dict[str, list[str]] = {}
    for event in findings.events:
        arrived = open_envelope(write_structured(event, ""), Limits())
        key = order_key(declared_order(adaptor), arrived, event)
        if key is not None:
            lines.setdefault(key, []).append(event.id)
    for key, ids in lines.items():
        done = [name for name in findings.sequence if name in ids]
        for one, next_one in pairwise(done):
            if ids.index(next_one) < ids.index(one):
                yield f"{next_one}: out of order: {one}, which is behind it with the order key {key!r}, went before it"


def _handler(event: Event[Any], family: Family[Any]) -> HandlerSpec:
    return family.adaptor._handlers[event.type]


def _standing(entry: Entry | None) -> str:
    if entry is None:
        return "nothing of it"
    why = f" ({entry.reason}: {entry.error})" if entry.reason else ""
    return f"it as {entry.state}{why}" + (", with messages unsent" if entry.unsent else "")
