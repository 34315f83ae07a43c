"""What an author writes for a reply that comes later is checked when the class is made."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from adapter_sdk import Adaptor, ConfigError, Event, EventData, InvalidReply, NotApplied, Pending, handles
from adapter_sdk.handlers import HandlerSpec


class Placed(EventData, type="shop.placed"):
    order_id: str


class Received(EventData, type="store.received"):
    order_id: str


class Picked(EventData, type="store.picked"):
    order_id: str


class Short(EventData, type="store.short"):
    order_id: str


class Row(BaseModel):
    order_id: str


class Patient(Adaptor):
    """A base that looks for answers."""

    _takes_answers = True


def spec_of(
    returns: Any, *answers: Callable[..., Any], base: type[Adaptor] = Patient, verify: Callable[..., Any] | None = None
) -> HandlerSpec:
    """The handler of a class whose handler is annotated with `returns`, and that has these answer methods."""

    def take(self: Any, event: Event[Placed]) -> Any: ...

    take.__annotations__["return"] = returns
    handler = handles(take)
    for method in answers:
        handler.answer(key="order_id", files="*.DAT")(method)
    if verify is not None:
        handler.verify(verify)
    cls: Any = type("Store", (base,), {"name": "store", "take": handler})
    spec: HandlerSpec = cls._handlers["shop.placed"]
    return spec


def method(returns: Any, record: Any = Row) -> Callable[..., Any]:
    """An answer method with these annotations; a record of None leaves that one out."""

    def answered(self: Any, row: Any) -> Any: ...

    answered.__annotations__ = {"return": returns} | ({} if record is None else {"row": record})
    return answered


def with_event(self: Any, event: Event[Placed], row: Row) -> Picked:
    """Takes more than an answer method does."""
    return Picked(order_id=row.order_id)


class Keyless(BaseModel):
    number: str


picked = method(Picked)


@pytest.mark.parametrize(
    ("returns", "replies", "owed", "in_list", "silent"),
    [
        (Pending[Picked], (), (Picked,), False, False),
        (Pending[Picked | Short], (), (Picked, Short), False, False),
        (Pending[Picked] | Short, (Short,), (Picked,), False, False),
        (Pending[Picked] | None, (), (Picked,), False, True),
        (list[Received | Pending[Picked]], (Received,), (Picked,), True, False),
        (tuple[Received, Pending[Picked]], (Received,), (Picked,), True, False),
    ],
)
def test_pending_stands_wherever_a_reply_can(
    returns: Any, replies: tuple[type, ...], owed: tuple[type, ...], in_list: bool, silent: bool
) -> None:
    """Alone, beside immediate replies, in a list or a tuple, with several types that the answer may become."""
    spec = spec_of(returns, picked)
    assert (spec.replies, spec.owed, spec.replies_in_list, spec.may_be_silent) == (replies, owed, in_list, silent)
    assert spec.all_replies == (*replies, *owed)


def test_what_is_known_of_an_answer_method() -> None:
    """Its name, the record that it takes, the field of the key, its replies, and the options of the family."""
    spec = spec_of(Pending[Picked | Short], picked, method(Picked | Short))
    first, second = spec.answers
    assert (first.name, first.record, first.key, first.event_type) == ("answered", Row, "order_id", "shop.placed")
    assert (first.replies, second.replies) == ((Picked,), (Picked, Short))
    assert first.options == {"files": "*.DAT"}
    assert re.search(r"answered \(.*test_pending\.py:\d+\)", first.where_defined)


@pytest.mark.parametrize(
    ("returns", "answers", "fault"),
    [
        (Pending[Picked], [], "returns Pending, and no method makes a reply of the answer: mark one with `.answer`"),
        (Pending, [picked], r"write what the answer becomes: `Pending\[YourReply\]`"),
        (Pending[Picked | None], [picked], r"write what the answer becomes: `Pending\[YourReply\]`"),
        (Pending[int], [picked], "int is not event data"),
        (Received, [picked], r"answers a handler that owes no reply; let it return `Pending\[YourReply\]`"),
        (Pending[Short], [picked], "an answer becomes one reply that its handler owes; return Short"),
        (Pending[Picked], [method(Picked | None)], "an answer becomes one reply that its handler owes; return Picked"),
        (
            Pending[Picked],
            [method(Pending[Picked])],
            "an answer becomes one reply that its handler owes; return Picked",
        ),
        (
            Pending[Picked],
            [method(Picked, int)],
            "parameter 'row' is the answer; annotate it with the model of its record",
        ),
        (Pending[Picked], [method(Picked, None)], "parameter 'row' is the answer; annotate it"),
        (Pending[Picked], [method(Picked, Keyless)], "Keyless has no field 'order_id' for the key; it has number"),
        (Pending[Picked], [with_event], r"an answer method takes \(self, record\)"),
    ],
)
def test_what_is_wrong_with_pending_and_answer(returns: Any, answers: list[Callable[..., Any]], fault: str) -> None:
    """Each mistake is a ConfigError that names class, method, file and line, and says what to write."""
    with pytest.raises(ConfigError, match=fault) as caught:
        spec_of(returns, *answers)
    assert re.match(r"Store\.\w+ \(.*test_pending\.py:\d+\): ", str(caught.value))


def test_a_base_that_looks_for_no_answers() -> None:
    """Where nobody would ever find the answer, Pending is a fault."""
    with pytest.raises(ConfigError, match="returns Pending; this base looks for no answers that come later"):
        spec_of(Pending[Picked], picked, base=Adaptor)


def test_verify_answers_with_pending_as_its_handler_does() -> None:
    """An effect that `verify` finds done owes its reply as well; another kind of Pending is a fault."""

    def was_taken(self: Any, event: Event[Placed]) -> Pending[Picked] | NotApplied:
        return Pending("o-1")

    def was_not(self: Any, event: Event[Placed]) -> Pending[Short] | NotApplied:
        return NotApplied()

    assert spec_of(Pending[Picked], picked, verify=was_taken).verify == "was_taken"
    with pytest.raises(ConfigError, match=r"answers as its handler would, Pending\[Picked\], or NotApplied"):
        spec_of(Pending[Picked], picked, verify=was_not)


def test_what_a_handler_with_pending_returns() -> None:
    """Pending passes; the reply itself, which only the answer can make, does not."""
    spec = spec_of(Pending[Picked], picked)
    assert spec.check_replies(Pending("o-1")) == (Pending("o-1"),)
    with pytest.raises(InvalidReply, match=r"returned a Picked; its annotation promises Pending\[Picked\]"):
        spec.check_replies(Picked(order_id="o-1"))
    with pytest.raises(InvalidReply, match="returned a Pending; its annotation promises Received"):
        spec_of(Received).check_replies(Pending("o-1"))


@pytest.mark.parametrize("key", ["", "a\nb", "x" * 256, 17])
def test_a_key_that_no_answer_could_carry(key: Any) -> None:
    """A key is printable text of 1 to 255 characters, and a time limit is above 0."""
    with pytest.raises(InvalidReply, match="give a key of 1 to 255 printable characters"):
        Pending(key)
    with pytest.raises(InvalidReply, match="within is 0; give seconds above 0"):
        Pending("o-1", within=0)
