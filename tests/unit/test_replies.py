import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import field_serializer

from adapter_sdk import Event, EventData, InvalidReply
from adapter_sdk.envelopes import Limits, open_envelope
from adapter_sdk.events import ExtensionValue
from adapter_sdk.replies import reply_id, reply_message, seal


class Placed(EventData, type="shop.placed"):
    pass


class Booked(EventData, type="erp.booked"):
    total: Decimal


class Broken(EventData, type="erp.broken"):
    value: Any


class Faulty(EventData, type="erp.faulty"):
    value: int

    @field_serializer("value")
    def _write(self, value: int) -> Any:
        return object()


def order(subject: str | None = None, **extensions: ExtensionValue) -> Event[Placed]:
    """An order with these extensions."""
    return Event(source="/shop", id="e-1", type="shop.placed", data=Placed(), subject=subject, extensions=extensions)


def sealed(event: Event[Placed], *data: EventData) -> list[dict[str, Any]]:
    """The replies as a consumer reads them."""
    return [json.loads(reply.body) for reply in seal("erp", event, data, 1_795_162_500.0)]


def test_a_reply_answers_its_event() -> None:
    """A reply carries the adaptor as source, the event's subject, and when it was made."""
    (reply,) = sealed(order("o-1"), Booked(total=Decimal("9.90")))
    assert reply == {
        "specversion": "1.0",
        "id": reply_id("erp", order().key, 0),
        "source": "/adaptors/erp",
        "type": "erp.booked",
        "subject": "o-1",
        "time": "2026-11-20T08:15:00Z",
        "datacontenttype": "application/json",
        "correlationid": "e-1",
        "causationid": "e-1",
        "data": {"total": "9.90"},
    }


def test_the_conversation_goes_on() -> None:
    """Correlation and trace are handed on as they came; the cause is the event that is answered."""
    event = order(correlationid="c-1", causationid="earlier", traceparent="00-t", tracestate="s", other="x")
    (reply,) = sealed(event, Booked(total=Decimal(1)))
    assert (reply["correlationid"], reply["causationid"], reply["traceparent"], reply["tracestate"]) == (
        "c-1",
        "e-1",
        "00-t",
        "s",
    )
    assert "other" not in reply


def test_ids_are_derived() -> None:
    """The id of a reply depends on adaptor, event and position, and on nothing else."""
    first = [reply["id"] for reply in sealed(order(), Booked(total=Decimal(1)), Booked(total=Decimal(1)))]
    again = [reply["id"] for reply in sealed(order("x", correlationid="y"), Booked(total=Decimal(2)))]
    assert first[0] == again[0]
    assert len({*first, reply_id("crm", order().key, 0), reply_id("erp", order().key._replace(id="e-2"), 0)}) == 4


@pytest.mark.parametrize("reply", [Broken(value=object()), Faulty(value=1), Broken(value="\ud800")])
def test_data_that_cannot_be_written(reply: EventData) -> None:
    """Reply data that has no form in JSON is an invalid reply that names its type."""
    with pytest.raises(InvalidReply, match=f"reply {reply.event_type} cannot be written as JSON"):
        seal("erp", order(), [reply], 0.0)


def test_the_message_of_a_reply() -> None:
    """A reply is published under its type, with its id and the correlation in the AMQP properties too."""
    (reply,) = seal("erp", order(), [Booked(total=Decimal(1))], 0.0)
    message = reply_message(reply, "events", "c-1")
    assert (message.exchange, message.routing_key, message.type) == ("events", "erp.booked", "erp.booked")
    assert (message.message_id, message.correlation_id, message.body) == (reply.id, "c-1", reply.body)
    assert open_envelope(message, Limits()).time == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("correlation", [None, "c" * 256, "ü" * 128])
def test_a_correlation_that_amqp_cannot_carry_is_in_the_body_alone(correlation: str | None) -> None:
    """A correlation id too long for the property is left out of it, not cut."""
    (reply,) = seal("erp", order(), [Booked(total=Decimal(1))], 0.0)
    assert reply_message(reply, "events", correlation).correlation_id is None
    assert reply_message(reply, "events", "c" * 255).correlation_id == "c" * 255
