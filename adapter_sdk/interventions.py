"""What a person can do about an event that was set aside: replay it, or say whether a doubtful effect happened.

The ledger is changed first, in one step that holds only if the event is still as the person saw it; then its messages
are published. If the broker fails in between, BrokerError is raised and the running adaptor publishes what is left.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.answering import AnswerDesk
from adapter_sdk.answers import Completion
from adapter_sdk.envelopes import Limits, describe, open_envelope
from adapter_sdk.errors import AdaptorError, BrokerError, ConflictingEvent
from adapter_sdk.events import Event, Key
from adapter_sdk.family import Family
from adapter_sdk.handlers import Answered, HandlerSpec
from adapter_sdk.ledger.base import Decision, Entry, Ledger, Reply, to_send
from adapter_sdk.ledger.owed import answers_of
from adapter_sdk.outbox import Outbox
from adapter_sdk.outcomes import reason_of
from adapter_sdk.pending import Pending
from adapter_sdk.replies import reply_message, seal
from adapter_sdk.settings import Settings
from adapter_sdk.topology import copy_to
from adapter_sdk.transport.base import Confirm, Message, Transport

_CONFLICT = reason_of(ConflictingEvent())


def why_not_replayed(entry: Entry) -> str | None:
    """Why a replay of this dead letter could only be set aside again, and what to do instead; None if it may help."""
    if entry.reason != _CONFLICT:
        return None
    return (
        f"{entry.key.id} is not replayed: its id belongs to another event of {entry.key.source}, and it would be set "
        "aside again; discard it, or have the producer send it under an id of its own"
    )


def replay(ledger: Ledger, transport: Transport, adaptor: str, key: Key, decision: Decision) -> bool:
    """Give a dead letter all its attempts anew. False if it is not a dead letter any more."""
    entry = ledger.reopen(key, decision)
    if entry is None:
        return False
    _send(ledger, transport, entry, [_copy(adaptor, entry)])
    return True


def is_answer(adaptor: str, entry: Entry) -> bool:
    """Whether a dead letter is an answer that came later, and no event."""
    return entry.key.source == answers_of(adaptor)


def replay_answer(
    ledger: Ledger, transport: Transport, family: Family[Any], settings: Settings, entry: Entry, decision: Decision
) -> str | None:
    """Try an answer again that was set aside; its reply goes out. None if that is done, else why it is not."""
    outbox = Outbox(
        family.adaptor,
        ledger,
        transport.publish,
        exchange=settings.broker.exchange,
        replies_required=settings.runner.replies == "required",
        clock=time.time,
    )
    try:
        end = AnswerDesk(family.adaptor, ledger, outbox).replay(family, entry, decision)
    except AdaptorError as error:
        return f"{entry.key.id} is not replayed: {error}"
    if end is Completion.UNMATCHED:
        return f"{entry.key.id} is not replayed: no event is owed a reply under its key; see `adaptor owed list`"
    if end is Completion.REFUSED:
        return f"{entry.key.id} is not replayed: the adaptor's method still refuses it"
    return None


def settle_not_applied(
    ledger: Ledger, transport: Transport, family: Family[Any], entry: Entry, decision: Decision
) -> bool:
    """The doubtful effect did not happen: the event gets new attempts. False if it is not in doubt any more."""
    changed = ledger.settle_not_applied(entry.key, decision, family.without_doubt(entry.evidence))
    if changed is None:
        return False
    _send(ledger, transport, changed, [_copy(family.adaptor.name, changed)])
    return True


def settle_applied(
    ledger: Ledger, transport: Transport, exchange: str, entry: Entry, replies: tuple[Reply, ...], decision: Decision
) -> bool:
    """The doubtful effect happened: its replies go out. False if the event is not in doubt any more."""
    changed = ledger.settle_applied(entry.key, decision, replies)
    if changed is None:
        return False
    messages = [reply_message(reply, exchange, entry.correlation_id) for reply in to_send(replies)]
    _send(ledger, transport, changed, messages)
    return True


def replies_by_hand(adaptor: type[Adaptor], entry: Entry, given: object, now: float) -> tuple[Reply, ...]:
    """The sealed replies that the handler would have given, out of JSON: `{"type": …, "data": {…}}` or a list of them.

    One that is still owed is `{"pending": KEY}`.

    Raises AdaptorError, saying what the handler promises, if they are not what it may answer.
    """
    handler, event = _event_of(adaptor, entry)
    items = given if isinstance(given, list) else [] if given is None else [given]
    data = [_reply_data(handler, item) for item in items]
    if len(data) > 1 and not handler.replies_in_list:
        raise AdaptorError(f"{handler.where_defined} gives one reply, and here are {len(data)}")
    returned: object = data if handler.replies_in_list else data[0] if data else None
    return seal(adaptor.name, event, handler.check_replies(returned), now)


def _event_of(adaptor: type[Adaptor], entry: Entry) -> tuple[HandlerSpec, Event[Any]]:
    handler = adaptor._handlers.get(entry.type)
    if handler is None or entry.message is None:
        raise AdaptorError(f"no handler of {adaptor.name} takes {entry.type!r} any more, so its reply cannot be made")
    size = len(entry.message.body)
    return handler, open_envelope(entry.message, Limits(max_bytes=size)).validate(handler.data_type)


def _reply_data(handler: HandlerSpec, item: object) -> Answered:
    if isinstance(item, Mapping) and handler.owed and set(item) == {"pending"}:
        return Pending(item["pending"])
    kinds = {str(kind.event_type): kind for kind in handler.replies}
    if not isinstance(item, Mapping) or str(item.get("type")) not in kinds:
        types = ", ".join(kinds) or "(none: the handler gives no reply)"
        owed = ', or {"pending": KEY} for one that is still owed' if handler.owed else ""
        raise AdaptorError(f'a reply is {{"type": …, "data": {{…}}}} with one of the types {types}{owed}')
    try:
        return kinds[str(item["type"])].model_validate(item.get("data"))
    except ValidationError as error:
        raise AdaptorError(describe(error, f"data of {item['type']}")) from error


def _copy(adaptor: str, entry: Entry) -> Message:
    if entry.message is None:
        raise AdaptorError(f"the ledger has no message for {entry.key}")
    return copy_to(adaptor, entry.message, entry.attempts)


def _send(ledger: Ledger, transport: Transport, entry: Entry, messages: Sequence[Message]) -> None:
    if not messages:
        return
    fates = zip(messages, transport.publish(messages), strict=True)
    not_taken = [
        f"{message.routing_key} ({confirm.value})" for message, confirm in fates if confirm is not Confirm.CONFIRMED
    ]
    if not_taken:
        raise BrokerError(
            f"the ledger is changed, but the broker did not take {', '.join(not_taken)}: "
            "see that a queue is bound for it; the running adaptor tries again"
        )
    ledger.sent([(entry.key, entry.token)])
