"""What an adaptor declares about order, and the order keys that follow from it."""

import operator
from collections.abc import Callable
from typing import Any

import pytest

from adapter_sdk import Adaptor, ConfigError, Event, EventData, handles
from adapter_sdk.envelopes import Limits, Opened, open_envelope, write_structured
from adapter_sdk.errors import InvalidData
from adapter_sdk.ordering import declared_order, order_key


class Moved(EventData, type="stock.moved"):
    sku: str


def moved(sku: str = "TEAPOT", **more: Any) -> Event[Moved]:
    """An event."""
    return Event(source="/stock", id="1", type="stock.moved", data=Moved(sku=sku), **more)


def opened(event: Event[Moved]) -> Opened:
    """The event as it arrives."""
    return open_envelope(write_structured(event, "events"), Limits())


def declare(**declared: object) -> type[Adaptor]:
    """A class that says so."""

    def move(self: Adaptor, event: Event[Moved]) -> None:
        """Move it."""

    return type("Stock", (Adaptor,), {"name": "stock", "move": handles(move), **declared})


def by_sku(event: Event[Moved]) -> str:
    """Articles are in order, each for itself."""
    return event.data.sku


class TestDeclaring:
    @pytest.mark.parametrize(
        "ordered_by",
        [
            None,
            "subject",
            "partitionkey",
            by_sku,
            staticmethod(by_sku),
            lambda event, /: event.data.sku,
            lambda event, prefix="": prefix + event.data.sku,
            operator.attrgetter("data.sku"),
        ],
    )
    def test_what_may_be_declared(self, ordered_by: object) -> None:
        """An attribute's name, a function that takes the event alone, or nothing: each is taken as it is."""
        declared = declared_order(declare(ordered_by=ordered_by))
        assert declared == (by_sku if isinstance(ordered_by, staticmethod) else ordered_by)

    @pytest.mark.parametrize("ordered_by", ["", "Subject", "event.subject", "sub ject", "data", "größe"])
    def test_no_name_of_an_attribute(self, ordered_by: str) -> None:
        """A name that no attribute of an envelope can have is a ConfigError that names the class and says what can."""
        with pytest.raises(ConfigError, match=r"^Stock \(.*\): ordered_by is '.*'; name an attribute .* as subject"):
            declare(ordered_by=ordered_by)

    @pytest.mark.parametrize("ordered_by", [7, ("subject",), lambda: "", lambda event, more: "", lambda *, event: ""])
    def test_no_function_of_the_event(self, ordered_by: object) -> None:
        """What is neither a name nor a function of the event alone is a ConfigError that says what to give."""
        with pytest.raises(ConfigError, match=r"^Stock \(.*\): ordered_by is .*; give the name .* event alone"):
            declare(ordered_by=ordered_by)

    def test_on_dead(self) -> None:
        """on_dead is "hold" or "continue", and everything else a ConfigError that says so."""
        assert declare(on_dead="continue").on_dead == "continue"
        with pytest.raises(ConfigError, match=r"^Stock \(.*\): on_dead is 'wait'; write \"hold\" or \"continue\""):
            declare(on_dead="wait")


class TestKeys:
    @pytest.mark.parametrize(
        ("ordered_by", "expected"),
        [
            (None, None),
            ("subject", "shelf 3"),
            ("source", "/stock"),
            ("warehouse", "7"),
            ("urgent", "true"),
            ("absent", None),
            (by_sku, "TEAPOT"),
            (lambda _: None, None),
            (lambda _: "", None),
        ],
    )
    def test_keys(self, ordered_by: Any, expected: str | None) -> None:
        """A key is what the envelope or the function gives; nothing and the empty text are no key."""
        event = moved(subject="shelf 3", extensions={"warehouse": 7, "urgent": True})
        assert order_key(ordered_by, opened(event), event) == expected

    @pytest.mark.parametrize("key", ["k" * 256, "a\x00b", "half \ud800 of a pair", "two\nlines"])
    def test_keys_that_no_column_takes(self, key: str) -> None:
        """Keys that are too long, or hold what some database refuses, are told apart by their SHA-256."""
        found = order_key(lambda _: key, opened(moved()), moved())
        other = order_key(lambda _: f"{key}.", opened(moved()), moved())
        assert found is not None
        assert found != other
        assert len(found) == 64

    @pytest.mark.parametrize(
        ("ordered_by", "said"),
        [
            (lambda event: event.data.size, "ordered_by failed: AttributeError: .*size"),
            (lambda event: 7, "ordered_by gave a int; an order key is text"),
        ],
    )
    def test_a_function_that_fails(self, ordered_by: Callable[[Event[Any]], str], said: str) -> None:
        """A function that raises, or gives no text, makes the event invalid and says how."""
        with pytest.raises(InvalidData, match=said):
            order_key(ordered_by, opened(moved()), moved())

    def test_data_that_is_not_valid(self) -> None:
        """An event whose data is not valid has the key of its envelope, and none that would come from its data."""
        arrived = opened(moved(subject="shelf 3"))
        assert order_key("subject", arrived, None) == "shelf 3"
        assert order_key(by_sku, arrived, None) is None
