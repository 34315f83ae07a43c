"""File names: what a template may be, and that no event can bend one."""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_sdk import ConfigError, Event, EventData
from adaptors.files import BusinessDay, FileName, FormatError
from adaptors.files.name_forms import NameForm
from adaptors.files.names import NameTemplate, safe_component


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
    assert NameTemplate(template, [Order]).of(event(), 12) == expected


def test_a_time_is_written_in_utc() -> None:
    """The producer's time zone does not show in the name: 22:15 at +02:00 is 20:15."""
    at = datetime(2026, 11, 20, 22, 15, tzinfo=timezone(timedelta(hours=2)))
    assert NameTemplate("{time:%H%M}").of(event(time=at)) == "2015"


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
        NameTemplate(template, [Order]).of(event(**changes), 1000)


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
        (
            "{idd}",
            "unknown field idd; known fields: id, source, type, subject, time, business_date, key, sequence, data",
        ),
        ("{}", "names no field"),
        ("{0}", "unknown field 0"),
        ("{data}", "unknown field data"),
        ("{data.nope}", r"Order has no field nope; Order has: order_id, customer, total, lines"),
        ("{data.customer.nope}", r"Order has no field customer\.nope; Customer has: number, city"),
        ("{data.order_id.x}", "str has: none"),
        ("{data.lines}", "not a single value"),
        ("{data.customer}", "not a single value"),
        ("{id.__class__}", r"unknown field id\.__class__"),
        ("{time}", "say how to write it, such as {time:%Y%m%d}"),
        ("{business_date}", "say how to write it"),
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
        NameTemplate(template, [Order])


@pytest.mark.parametrize(
    ("template", "form", "expected"),
    [
        ("Pick{sequence:04d}.dat", "upper", "PICK0012.DAT"),
        ("PICK{sequence:04d}.DAT", "8.3", "PICK0012.DAT"),
        ("{subject}", "8.3", "O-1"),
        ("PROD.ORDERS.D{time:%y%j}.T{sequence:07d}", "dsn", "PROD.ORDERS.D26324.T0000012"),
        ("prod.{data.customer.city}", "dsn", "PROD.BERN"),
    ],
)
def test_a_form_gives_names_that_dos_and_mainframes_take(template: str, form: NameForm, expected: str) -> None:
    """In upper case, as 8.3, or as the data set name of a mainframe."""
    assert NameTemplate(FileName(template, form), [Order]).of(event(), 12) == expected


@pytest.mark.parametrize(
    ("template", "form", "changes", "reason"),
    [
        ("{subject}.DAT", "8.3", {"subject": "ORDER-1007"}, "'ORDER-1007.DAT' is not of the form 8.3"),
        ("{subject}", "8.3", {"subject": "A.DATA"}, "not of the form 8.3"),
        ("P.{subject}", "dsn", {"subject": "1A"}, "'P.1A' is no data set name"),
        ("P.{subject}", "dsn", {"subject": "A_B"}, "no data set name"),
        ("P.{subject}", "dsn", {"subject": "A" * 9}, "no data set name"),
        ("P.{subject}", "dsn", {"subject": ".".join(["ABCDEFGH"] * 5)}, "at most 44 characters"),
    ],
)
def test_an_event_whose_name_has_not_the_form_is_refused(
    template: str, form: NameForm, changes: dict[str, Any], reason: str
) -> None:
    """A name is never cut to fit."""
    with pytest.raises(FormatError, match=re.escape(reason)):
        NameTemplate(FileName(template, form), [Order]).of(event(**changes))


@pytest.mark.parametrize(
    ("template", "form", "reason"),
    [
        ("PICK{sequence:06d}.DAT", "8.3", "not of the form 8.3, however short its values are"),
        ("{key}", "8.3", "however short"),
        ("{sequence:05d}", "dsn", "no data set name"),
        ("A.B", "9.3", "the form is '9.3'; give one of any, upper, 8.3, dsn"),
    ],
)
def test_a_template_that_can_never_have_its_form_is_refused_when_it_is_made(
    template: str, form: NameForm, reason: str
) -> None:
    """What every name would be too long for is a fault of the class and not of an event."""
    with pytest.raises(ConfigError, match=reason):
        NameTemplate(FileName(template, form))


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-11-20T15:59:59+00:00", "20261120"),
        ("2026-11-20T16:00:00+00:00", "20261124"),  # a Friday at 17:00 in Zurich; Monday is a holiday
        ("2026-11-21T09:00:00+00:00", "20261124"),
        ("2026-11-24T23:30:00+01:00", "20261125"),
        ("2026-07-01T15:30:00+00:00", "20260702"),  # summer time: 17:30
    ],
)
def test_a_business_date_follows_the_calendar_of_the_legacy_system(moment: str, day: str) -> None:
    """Its clocks, the hour at which its day ends, its weekends and its holidays; the event's time decides, not ours."""
    zurich = BusinessDay("Europe/Zurich", ends=time(17), weekends=False, holidays=[date(2026, 11, 23)])
    template = NameTemplate(FileName("{business_date:%Y%m%d}", day=zurich))
    assert template.of(event(time=datetime.fromisoformat(moment))) == day


def test_a_business_date_without_a_calendar_is_the_day_of_utc() -> None:
    """An event without a time has none."""
    template = NameTemplate("{business_date:%y%j}.TXT")
    assert template.of(event()) == "26324.TXT"
    with pytest.raises(FormatError, match="needs business_date, which this event does not have"):
        template.of(event(time=None))


def test_a_calendar_that_cannot_be_is_refused() -> None:
    """A zone nobody knows when the class is made; a year without business when it is asked for."""
    with pytest.raises(ConfigError, match="time zone 'Mars/Olympus' is not known"):
        BusinessDay("Mars/Olympus")
    never = [date(2026, 1, 1) + timedelta(days=number) for number in range(800)]
    with pytest.raises(ConfigError, match="no business day within a year"):
        BusinessDay(holidays=never).of(datetime(2026, 11, 20, tzinfo=UTC))
