"""File names: what a template may be, and that no event can bend one."""

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_sdk import ConfigError, Event, EventData
from adaptors.files import FormatError
from adaptors.files.names import FileName, MarkerName, safe_component


class Customer(EventData, type="com.shop.customer"):
    number: int
    city: str | None = None


class Order(EventData, type="com.shop.order.placed"):
    order_id: str
    customer: Customer
    total: Decimal = Decimal(1)
    lines: tuple[str, ...] = ()


def event(**attributes: Any) -> Event[Order]:
    """An event whose attributes all go into a name as they are."""
    given = {
        "source": "shop",
        "id": "e-1",
        "type": "com.shop.order.placed",
        "subject": "O-1",
        "time": datetime(2026, 11, 20, 20, 15, 0, tzinfo=UTC),
        "data": Order(order_id="O-1", customer=Customer(number=7, city="Bern")),
    }
    return Event(**{**given, **attributes})


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("PICK{sequence:06d}.DAT", "PICK000012.DAT"),
        ("{type}_{subject}_{time:%Y%m%dT%H%M%SZ}_{id}.xml", "com.shop.order.placed_O-1_20261120T201500Z_e-1.xml"),
        ("{source}-{key}", "shop-cf73a23dc06bd436"),
        ("{data.order_id}.{data.customer.number:04d}.{data.customer.city}", "O-1.0007.Bern"),
        ("all {{of}} it.txt", "all {of} it.txt"),
    ],
)
def test_a_template_is_filled_from_the_event_and_the_sequence(template: str, expected: str) -> None:
    """Attributes, data fields, the key and the number stand where the template has them, in its format."""
    assert FileName(template, [Order]).of(event(), 12) == expected


def test_a_time_is_written_in_utc() -> None:
    """The producer's time zone does not show in the name: 22:15 at +02:00 is 20:15."""
    at = datetime(2026, 11, 20, 22, 15, tzinfo=timezone(timedelta(hours=2)))
    assert FileName("{time:%H%M}").of(event(time=at)) == "2015"


@pytest.mark.parametrize(
    ("template", "changes", "reason"),
    [
        ("{time:%Y}", {"time": None}, "needs time, which this event does not have"),
        ("{subject}", {"subject": None}, "needs subject"),
        (
            "{data.customer.city}",
            {"data": Order(order_id="1", customer=Customer(number=1))},
            r"needs data\.customer\.city",
        ),
        ("{id}", {"id": ""}, "id is empty"),
        ("{id}", {"id": "a\nb"}, r"id 'a\\nb' has a control character"),
        ("{id}", {"id": "a\x00"}, "control character"),
        ("{id}.txt", {"id": "con"}, "device on Windows"),
        ("{id}{id}{id}{subject}", {"id": "x" * 80, "subject": "y" * 30}, "longer than 255 bytes"),
        ("{sequence:03d}", {}, "sequence number 1000 is longer than"),
    ],
)
def test_an_event_that_cannot_be_named_is_refused(template: str, changes: dict[str, Any], reason: str) -> None:
    """Missing, empty, hostile and oversized values are an error that names the field; nothing is invented."""
    with pytest.raises(FormatError, match=reason):
        FileName(template, [Order]).of(event(**changes), 1000)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a-b_c.1", "a-b_c.1"),
        ("a:b/c", "a-b-c-fb745651"),
        ("../../etc/passwd", "etc-passwd-3754d6cb"),
        ("..", "5ec1f7e7"),
        (".hidden", "hidden-16924190"),
        ("https://shop.example/orders", "https-shop-example-orders-bd0cbcd1"),
        ("é", "4a99557e"),
    ],
)
def test_a_value_that_is_not_safe_keeps_its_safe_parts_and_gets_a_hash(value: str, expected: str) -> None:
    """Ids with slashes and colons are usual: their name stays readable, unique and the same at every attempt."""
    assert safe_component(value, "id") == expected


@given(st.text(max_size=120), st.text(max_size=120))
def test_no_value_leaves_its_folder_or_meets_another_values_name(one: str, other: str) -> None:
    """Any text becomes letters, digits and ._- without "..", or an error; two texts never become the same."""
    names = []
    for value in (one, other):
        try:
            name = safe_component(value, "id")
        except FormatError:
            continue
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
        assert ".." not in name
        assert not name.endswith(".")
        names.append(name)
    assert one == other or len(names) < 2 or names[0] != names[1]


def test_look_alikes_get_different_names() -> None:
    """The Kelvin sign, which Unicode folds into the letter K, and the letter itself stay apart."""
    assert safe_component("K", "id") != safe_component("\u212a", "id")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{idd}", "unknown field idd; known fields: id, source, type, subject, time, key, sequence, data.<field>"),
        ("{}", "names no field"),
        ("{0}", "unknown field 0"),
        ("{data}", "unknown field data"),
        ("{data.nope}", r"Order has no field nope; Order has: order_id, customer, total, lines"),
        ("{data.customer.nope}", r"Order has no field customer\.nope; Customer has: number, city"),
        ("{data.order_id.x}", "str has: none"),
        ("{data.lines}", "not a single value"),
        ("{data.customer}", "not a single value"),
        ("{id.__class__}", r"unknown field id\.__class__"),
        ("{time}", "say how to write the time"),
        ("{sequence:x9}", "Invalid format specifier"),
        ("{data.customer.number:%Y}", "Invalid format specifier"),
        ("{key:>20}", "takes no format"),
        ("{id!r}", "conversions"),
        ("{id:{sequence}}", "nested"),
        ("{id", "expected '}'"),
        ("a/{id}", "'/' cannot stand"),
        ("a:{id}", "':' cannot stand"),
        (".{id}", "begins with a dot"),
        ("{id}.", "ends in a dot"),
        ("", "empty"),
    ],
)
def test_a_template_that_cannot_work_is_refused_when_it_is_made(template: str, reason: str) -> None:
    """An unknown field, a format that its value does not have, a path: a ConfigError that lists what is known."""
    with pytest.raises(ConfigError, match=reason):
        FileName(template, [Order])


@pytest.mark.parametrize(
    ("template", "expected"), [("{stem}.OK", "PICK1.OK"), ("{name}.done", "PICK1.DAT.done"), ("T{stem}", "TPICK1")]
)
def test_a_marker_is_named_after_its_file(template: str, expected: str) -> None:
    """`name` is the file's name, `stem` the same without its last suffix."""
    assert MarkerName(template).of("PICK1.DAT") == expected


@pytest.mark.parametrize("template", ["done", "{name}", "{id}.OK", "x/{name}", "{name"])
def test_a_marker_without_a_name_of_its_own_is_refused(template: str) -> None:
    """All files would share it, or it would be the file itself."""
    with pytest.raises(ConfigError, match="marker"):
        MarkerName(template)
