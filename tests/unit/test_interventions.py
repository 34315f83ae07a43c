"""Replies that a person gives for an event in doubt are held against what its handler promises."""

from dataclasses import replace

import pytest
from pydantic import BaseModel

from adapter_sdk import Adaptor, Event, EventData, Pending, handles
from adapter_sdk.envelopes import Limits, open_envelope
from adapter_sdk.errors import AdaptorError
from adapter_sdk.events import Key
from adapter_sdk.interventions import replies_by_hand, why_not_replayed
from adapter_sdk.replies import reply_id
from adapter_sdk.transport.base import Message
from tests.command import Placed, Written, dead_letter


class Torn(EventData, type="clerk.torn"):
    order_id: str


class Chatty(Adaptor):
    """One handler for each kind of promise."""

    name = "chatty"

    @handles
    def one(self, event: Event[Placed]) -> Written | Torn:
        return Written(order_id=event.data.order_id)


class Silent(Adaptor):
    name = "silent"

    @handles
    def none(self, event: Event[Placed]) -> None: ...


class Maybe(Adaptor):
    name = "maybe"

    @handles
    def perhaps(self, event: Event[Placed]) -> Written | None: ...


class Several(Adaptor):
    name = "several"

    @handles
    def many(self, event: Event[Placed]) -> list[Written]:
        return []


class Line(BaseModel):
    order_id: str


class Patient(Adaptor):
    name = "patient"
    _takes_answers = True

    @handles
    def later(self, event: Event[Placed]) -> Pending[Written]:
        return Pending(event.data.order_id)

    @later.answer(key="order_id")
    def written(self, line: Line) -> Written:
        return Written(order_id=line.order_id)


ENTRY = dead_letter("a")
WRITTEN = {"type": "clerk.written", "data": {"order_id": "a"}}


def test_a_reply_by_hand_is_the_one_that_the_handler_would_have_given() -> None:
    """It has the id, type, source and correlation that the handler's own reply would have had."""
    (reply,) = replies_by_hand(Chatty, ENTRY, WRITTEN, now=0.0)
    opened = open_envelope(Message(body=reply.body), Limits())
    assert (reply.id, reply.type) == (reply_id("chatty", Key("/shop", "a"), 0), "clerk.written")
    assert (opened.source, opened.data, opened.extensions["causationid"]) == (
        "/adaptors/chatty",
        {"order_id": "a"},
        "a",
    )


@pytest.mark.parametrize("given", [None, []])
def test_no_reply_is_right_only_where_the_handler_may_be_silent(given: object) -> None:
    """Silence is kept where it is promised, and refused, with the promise, where a reply is."""
    assert replies_by_hand(Silent, ENTRY, given, now=0.0) == ()
    assert replies_by_hand(Maybe, ENTRY, given, now=0.0) == ()
    assert replies_by_hand(Several, ENTRY, given, now=0.0) == ()
    with pytest.raises(AdaptorError, match=r"promises Written \| Torn"):
        replies_by_hand(Chatty, ENTRY, given, now=0.0)


def test_replies_in_a_list_keep_their_order() -> None:
    """Each has the id of its position."""
    given = [WRITTEN, {"type": "clerk.written", "data": {"order_id": "b"}}]
    replies = replies_by_hand(Several, ENTRY, given, now=0.0)
    assert [reply.id for reply in replies] == [reply_id("several", ENTRY.key, position) for position in (0, 1)]
    assert b'"b"' in replies[1].body


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"type": "clerk.burnt", "data": {}}, "one of the types clerk.written, clerk.torn"),
        ({"type": ["clerk.written"], "data": {}}, "one of the types clerk.written, clerk.torn"),
        ({"data": {"order_id": "a"}}, "one of the types clerk.written, clerk.torn"),
        ("clerk.written", "one of the types clerk.written, clerk.torn"),
        ({"type": "clerk.written", "data": {"order": "a"}}, "data of clerk.written.*order_id"),
        ({"type": "clerk.written"}, "data of clerk.written"),
        ([WRITTEN, WRITTEN], "gives one reply, and here are 2"),
    ],
)
def test_what_the_handler_could_not_have_answered_is_refused(given: object, sentence: str) -> None:
    """A reply of another type, of broken data, or one too many is never sealed, and none is dropped."""
    with pytest.raises(AdaptorError, match=f"(?s){sentence}"):
        replies_by_hand(Chatty, ENTRY, given, now=0.0)


def test_a_reply_by_hand_may_still_be_owed() -> None:
    """Where the handler gives Pending, a person can say under which key; the reply itself comes with the answer."""
    (reply,) = replies_by_hand(Patient, ENTRY, {"pending": "o-1"}, now=0.0)
    assert (reply.id, reply.owed and reply.owed.key) == (reply_id("patient", ENTRY.key, 0), "o-1")
    with pytest.raises(AdaptorError, match=r'or \{"pending": KEY\} for one that is still owed'):
        replies_by_hand(Patient, ENTRY, WRITTEN, now=0.0)
    with pytest.raises(AdaptorError, match=r"one of the types clerk.written, clerk.torn$"):
        replies_by_hand(Chatty, ENTRY, {"pending": "o-1"}, now=0.0)


def test_a_silent_handler_takes_no_reply() -> None:
    """What others do not expect is not published in the handler's name."""
    with pytest.raises(AdaptorError, match="the handler gives no reply"):
        replies_by_hand(Silent, ENTRY, WRITTEN, now=0.0)


def test_an_event_whose_handler_is_gone_has_no_reply() -> None:
    """It is said, by type, that nobody takes it any more."""
    with pytest.raises(AdaptorError, match=r"no handler of chatty takes 'shop\.gone' any more"):
        replies_by_hand(Chatty, replace(ENTRY, type="shop.gone"), WRITTEN, now=0.0)


def test_only_a_conflict_cannot_be_replayed() -> None:
    """A replay may mend every other dead letter."""
    conflict = why_not_replayed(dead_letter("a#1", reason="conflicting event"))
    assert conflict is not None
    assert "belongs to another event of /shop" in conflict
    assert [why_not_replayed(dead_letter("a", reason=reason)) for reason in ("refused", "malformed event")] == [
        None
    ] * 2
