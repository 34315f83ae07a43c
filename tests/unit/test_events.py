import dataclasses
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from adapter_sdk import ConfigError, Event, EventData, Key


class Placed(EventData, type="shop.placed"):
    order_id: str
    weight: float = 0.0


def event(**extensions: str | int | bool | bytes | tuple[str, ...]) -> Event[Placed]:
    """An order with these extensions."""
    return Event(source="/shop", id="e-1", type="shop.placed", data=Placed(order_id="o"), extensions=extensions)


class TestEventData:
    def test_the_type_stands_in_the_class_line(self) -> None:
        """A subclass knows its event type, hands it down, and may be given another; a common base has none."""

        class Common(EventData):
            order_id: str

        class Sent(Common, type="shop.sent"):
            pass

        class SentLate(Sent):
            days: int

        class Returned(Sent, type="shop.returned"):
            pass

        types = [kind.event_type for kind in (EventData, Common, Sent, SentLate, Returned)]
        assert types == [None, None, "shop.sent", "shop.sent", "shop.returned"]

    @pytest.mark.parametrize(("name", "why"), [("", "is empty"), ("  ", "is empty"), ("ü" * 128, "256 bytes")])
    def test_types_that_cannot_be(self, name: str, why: str) -> None:
        """An empty type, or one too long for a routing key, is refused and the class is named."""
        with pytest.raises(ConfigError, match=rf"Wrong: the event type .*{why}"):

            class Wrong(EventData, type=name):
                pass

    def test_data_is_frozen(self) -> None:
        """Event data cannot be changed."""
        with pytest.raises(ValidationError, match="frozen"):
            event().data.order_id = "other"

    def test_unknown_fields_are_passed_over(self) -> None:
        """A producer may add fields without breaking its consumers."""
        assert Placed.model_validate({"order_id": "o", "new": 1}) == Placed(order_id="o")

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_numbers_that_json_has_not(self, value: float) -> None:
        """NaN and infinities are no event data."""
        with pytest.raises(ValidationError, match="finite"):
            Placed(order_id="o", weight=value)


class TestEvent:
    def test_identity(self) -> None:
        """Source and id together are the identity, and read well."""
        assert event().key == Key("/shop", "e-1")
        assert str(event().key) == "/shop e-1"

    def test_an_event_is_frozen(self) -> None:
        """An event cannot be changed."""
        with pytest.raises(dataclasses.FrozenInstanceError):
            event().id = "other"  # type: ignore[misc]

    def test_extensions_with_names_of_their_own(self) -> None:
        """Correlation, causation and trace are there by name, and None where absent or no text."""
        full = event(correlationid="c", causationid="d", traceparent="t")
        assert (full.correlation_id, full.causation_id, full.traceparent) == ("c", "d", "t")
        for other in (event(), event(correlationid=5, causationid=b"d", traceparent=True)):
            assert (other.correlation_id, other.causation_id, other.traceparent) == (None, None, None)

    def test_nothing_is_invented(self) -> None:
        """An event has no time and no subject unless it was given one."""
        assert (event().time, event().subject, event().dataschema) == (None, None, None)
        assert dataclasses.replace(event(), time=datetime(2026, 1, 2, tzinfo=UTC)).time is not None
