import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from cloudevents.core.bindings import amqp, rabbitmq
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter_sdk import Event, EventData, InvalidData, MalformedEvent
from adapter_sdk.envelopes import STRUCTURED, Limits, Opened, open_envelope, write_binary, write_structured
from adapter_sdk.transport.base import UNDECODABLE, Message


class OrderPlaced(EventData, type="com.shop.order.placed"):
    order_id: str
    total: Decimal = Decimal(0)
    note: str | None = None


ORDER = {"order_id": "o-1", "total": "9.90"}
ENVELOPE = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "com.shop.order.placed", "data": ORDER}
EVENTBRIDGE = {
    "version": "0",
    "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
    "detail-type": "com.shop.order.placed",
    "source": "shop",
    "account": "111122223333",
    "time": "2026-11-20T08:15:00Z",
    "region": "eu-central-1",
    "resources": ["arn:aws:s3:::orders", "arn:aws:s3:::more"],
    "detail": ORDER,
}


def read(body: bytes | str, limits: Limits = Limits(), **properties: Any) -> Opened:
    """The envelope of a message with this body."""
    return open_envelope(Message(body.encode() if isinstance(body, str) else body, **properties), limits)


def structured(**changes: Any) -> Opened:
    """The usual envelope with some members changed, or left out where the change is `...`."""
    return read(json.dumps({name: value for name, value in {**ENVELOPE, **changes}.items() if value is not ...}))


def binary(body: bytes = b'{"order_id": "o-1"}', prefix: str = "cloudEvents_", **changes: Any) -> Opened:
    """The usual event in binary mode, with attributes changed, or left out where the change is `...`."""
    attributes = {**{name: value for name, value in ENVELOPE.items() if name != "data"}, **changes}
    headers = {f"{prefix}{name}": value for name, value in attributes.items() if value is not ...}
    return read(body, headers=headers, content_type="application/json")


def data_of(text: str) -> Any:
    """What is read of JSON data written exactly so."""
    return read(json.dumps({**ENVELOPE, "data": "DATA"}).replace('"DATA"', text)).data


class TestForms:
    @pytest.mark.parametrize("prefix", ["cloudEvents_", "cloudEvents:", "ce-", "Ce-"])
    def test_every_header_prefix_is_read(self, prefix: str) -> None:
        """Binary mode is read with each of the prefixes that are met in practice."""
        opened = binary(prefix=prefix, subject="o-1", time="2026-11-20T08:15:00Z", correlationid="c-1")
        assert opened.key == ("/shop", "e-1")
        assert opened.type == "com.shop.order.placed"
        assert opened.subject == "o-1"
        assert opened.time == datetime(2026, 11, 20, 8, 15, tzinfo=UTC)
        assert opened.extensions == {"correlationid": "c-1"}
        assert opened.data == {"order_id": "o-1"}

    def test_structured_is_known_by_content_type_or_by_specversion(self) -> None:
        """CloudEvents JSON is read under its own content type, under another one, and under none."""
        body = json.dumps(ENVELOPE)
        for content_type in (STRUCTURED, f"{STRUCTURED}; charset=utf-8", "application/json", None):
            assert read(body, content_type=content_type).key == ("/shop", "e-1")

    def test_structured_content_type_wins_over_stray_headers(self) -> None:
        """A structured message that also carries attribute headers is read by its body."""
        assert read(json.dumps(ENVELOPE), content_type=STRUCTURED, headers={"ce-id": "other"}).id == "e-1"

    def test_eventbridge_envelope(self) -> None:
        """An EventBridge event is read with detail-type as type, detail as data and the rest as extensions."""
        opened = read(json.dumps(EVENTBRIDGE))
        assert opened.key == ("shop", EVENTBRIDGE["id"])
        assert opened.type == "com.shop.order.placed"
        assert opened.time == datetime(2026, 11, 20, 8, 15, tzinfo=UTC)
        assert opened.extensions == {
            "account": "111122223333",
            "region": "eu-central-1",
            "resources": ("arn:aws:s3:::orders", "arn:aws:s3:::more"),
        }
        assert opened.validate(OrderPlaced).data.order_id == "o-1"

    @pytest.mark.parametrize("name", ["id", "source", "detail-type", "detail"])
    def test_eventbridge_envelope_lacks_a_field(self, name: str) -> None:
        """An EventBridge event without a field that it needs is malformed, and the field is named."""
        body = {key: value for key, value in EVENTBRIDGE.items() if key != name}
        with pytest.raises(MalformedEvent, match="no envelope" if name == "detail-type" else name):
            read(json.dumps(body))

    @pytest.mark.parametrize("resources", ["arn:x", [1], {"a": "b"}])
    def test_eventbridge_resources_are_strings(self, resources: object) -> None:
        """Resources other than a list of strings make the event malformed."""
        with pytest.raises(MalformedEvent, match="resources"):
            read(json.dumps({**EVENTBRIDGE, "resources": resources}))

    def test_data_base64_holds_json(self) -> None:
        """Structured events may carry their JSON data in base64."""
        encoded = base64.b64encode(b'{"order_id": "o-1"}').decode()
        assert structured(data=..., data_base64=encoded).data == {"order_id": "o-1"}

    @pytest.mark.parametrize("encoded", ["%%%", 5, None, base64.b64encode(b"\xff").decode(), "bm8="])
    def test_data_base64_that_holds_no_json(self, encoded: object) -> None:
        """Base64 that is none, or around something that is not JSON, is malformed."""
        with pytest.raises(MalformedEvent):
            structured(data=..., data_base64=encoded)

    def test_two_forms_of_data_at_once(self) -> None:
        """An event with data and data_base64 is malformed, because CloudEvents allows one."""
        with pytest.raises(MalformedEvent, match="data_base64 are both given"):
            structured(data_base64="e30=")

    def test_no_envelope_at_all(self) -> None:
        """JSON without any known envelope says which envelopes are looked for."""
        with pytest.raises(MalformedEvent, match=r"cloudEvents_id.*specversion.*detail-type"):
            read('{"order_id": "o-1"}')

    def test_undecodable_headers_are_the_reason_given(self) -> None:
        """Where the headers could not be decoded, that is said instead of "no envelope"; a whole body is still read."""
        headers = {UNDECODABLE: "timestamp out of range"}
        with pytest.raises(MalformedEvent, match="timestamp out of range"):
            read('{"order_id": "o-1"}', headers=headers)
        assert read(json.dumps(ENVELOPE), headers=headers).id == "e-1"


class TestAttributes:
    @pytest.mark.parametrize("name", ["id", "source", "type"])
    @pytest.mark.parametrize("value", [..., "", None])
    @pytest.mark.parametrize("form", [structured, binary])
    def test_required_attributes(self, form: Any, name: str, value: object) -> None:
        """A missing or empty id, source or type is malformed in either mode; nothing is invented."""
        with pytest.raises(MalformedEvent, match=rf"{name} is missing or empty"):
            form(**{name: value})

    @pytest.mark.parametrize("value", [5, True, ["e"], {"a": 1}])
    def test_attributes_are_strings(self, value: object) -> None:
        """An id that is not a string is malformed rather than converted."""
        with pytest.raises(MalformedEvent, match="id is a"):
            structured(id=value)

    @pytest.mark.parametrize("version", ["0.3", 1.0, None, ...])
    def test_only_version_1_0(self, version: object) -> None:
        """Any specversion other than the string 1.0 is malformed."""
        with pytest.raises(MalformedEvent, match=r"specversion|no envelope"):
            structured(specversion=version)

    @pytest.mark.parametrize("name", ["id", "subject", "comment"])
    @pytest.mark.parametrize("character", ["\x00", "\n", "\x7f", "\x9f"])
    def test_control_characters(self, name: str, character: str) -> None:
        """Control characters in an attribute or extension are malformed: no ledger or log can hold them safely."""
        with pytest.raises(MalformedEvent, match=f"{name} holds control characters"):
            structured(**{name: f"a{character}b"})

    def test_overlong_identity(self) -> None:
        """An id of more than 2048 characters is malformed; one of 2048 is read."""
        assert structured(id="x" * 2048).id == "x" * 2048
        with pytest.raises(MalformedEvent, match="2049 characters"):
            structured(id="x" * 2049)

    @pytest.mark.parametrize(
        "time",
        [
            "yesterday",
            "2026-11-20",
            "2026-11-20T08:15:00",
            "2026-13-20T08:15:00Z",
            "2026-11-20T08:15:61Z",
            "2026-11-20 08:15:00Z",
            "٢٠٢٦-11-20T08:15:00Z",
            "0001-01-01T00:00:00+10:00",
            "9999-12-31T23:59:59-10:00",
            "",
            1763626500,
            True,
        ],
    )
    def test_bad_time(self, time: object) -> None:
        """A time that is not RFC 3339, or that UTC has no date for, is malformed and named."""
        with pytest.raises(MalformedEvent, match="time is"):
            structured(time=time)

    @pytest.mark.parametrize(
        ("text", "time"),
        [
            ("2026-11-20T08:15:00Z", datetime(2026, 11, 20, 8, 15, tzinfo=UTC)),
            ("2026-11-20t08:15:00z", datetime(2026, 11, 20, 8, 15, tzinfo=UTC)),
            ("2026-11-20T08:15:00.123456789Z", datetime(2026, 11, 20, 8, 15, 0, 123456, tzinfo=UTC)),
            ("2026-11-20T08:15:00.5+05:30", datetime(2026, 11, 20, 2, 45, 0, 500000, tzinfo=UTC)),
        ],
    )
    def test_time(self, text: str, time: datetime) -> None:
        """RFC 3339 is read in all its spellings, to the microsecond."""
        assert structured(time=text).time == time

    def test_time_of_a_binary_event_may_be_an_amqp_timestamp(self) -> None:
        """In a header the time may also be an AMQP timestamp, in UTC, or milliseconds since 1970."""
        wanted = datetime(2026, 11, 20, 8, 15, tzinfo=UTC)
        assert binary(time=wanted).time == wanted
        assert binary(time=wanted.replace(tzinfo=None)).time == wanted
        assert binary(time=1795162500000).time == wanted
        for milliseconds in (10**30, True):
            with pytest.raises(MalformedEvent, match="time is"):
                binary(time=milliseconds)

    def test_attributes_as_bytes(self) -> None:
        """An attribute header of type bytes is read as UTF-8, and is malformed if it is not."""
        assert binary(id="ü".encode()).id == "ü"
        with pytest.raises(MalformedEvent, match="id is not UTF-8"):
            binary(id=b"\xff")

    def test_extensions_keep_their_types(self) -> None:
        """Strings, integers, booleans and bytes are extension values; timestamps become RFC 3339."""
        time = datetime(2026, 11, 20, 8, 15, tzinfo=timezone(timedelta(hours=1)))
        opened = binary(a="x", b=5, c=True, d=b"\x00\xff", e=time, f=time.replace(tzinfo=None))
        assert opened.extensions == {
            "a": "x",
            "b": 5,
            "c": True,
            "d": b"\x00\xff",
            "e": "2026-11-20T07:15:00Z",
            "f": "2026-11-20T08:15:00Z",
        }

    @pytest.mark.parametrize("extension", [{"bad_name": "x"}, {"ünï": "x"}, {"UPPER": "x"}, {"nested": {"a": 1}}])
    def test_extensions_that_cloudevents_does_not_have(self, extension: dict[str, Any]) -> None:
        """An extension with an impossible name or value is malformed and named."""
        with pytest.raises(MalformedEvent, match="extension"):
            structured(**extension)

    @pytest.mark.parametrize("content_type", ["text/xml", "application/octet-stream", "application/python-pickle", 5])
    def test_data_that_is_not_json(self, content_type: object) -> None:
        """Data of another content type than JSON is malformed in either mode; it is never guessed."""
        with pytest.raises(MalformedEvent, match="datacontenttype"):
            structured(datacontenttype=content_type)
        with pytest.raises(MalformedEvent, match="datacontenttype"):
            read(b"{}", headers={"ce-id": "e", "ce-datacontenttype": content_type}, content_type="application/json")

    @pytest.mark.parametrize("content_type", ["application/json", "application/vnd.shop+json; v=1", "text/json", None])
    def test_data_that_is_json(self, content_type: str | None) -> None:
        """Every content type of JSON is read, and a missing one means JSON."""
        assert structured(datacontenttype=content_type).data == ORDER


class TestHostileBodies:
    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"", "not JSON"),
            (b"nonsense", "not JSON"),
            (b"[]", "not an object"),
            (b'"text"', "not an object"),
            (b"5", "not an object"),
            (b"\xff\xfe{\x00}\x00", "not UTF-8: byte 0xff at offset 0"),
            (b"\xef\xbb\xbf{}", "BOM"),
            ('{"a": "ü"}'.encode("latin-1"), "not UTF-8: byte 0xfc at offset 7"),
            ('{"specversion": "1.0"}'.encode("utf-16-le"), "not JSON"),
            (b'{"id": "a", "id": "b"}', "'id' stands twice"),
            (b'{"data": {"a": 1, "b": 2, "a": 1}}', "'a' stands twice"),
            (b'{"a": NaN}', "NaN is not a JSON value"),
            (b'{"a": -Infinity}', "-Infinity is not a JSON value"),
            (b'{"a": 1e999}', "1e999 is too large"),
            (b'{"a": -1e999}', "-1e999 is too large"),
            (b'{"a": 1e-999999999}', "too small"),
            (b'{"a": 0.0' + b"0" * 400 + b"1}", "too small"),
            (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
            (rb'{"a": "\ud800"}', "surrogate"),
            (rb'{"\uDC00": 1}', "surrogate"),
            (b"[" * 100_000, "deeper than 32"),
            (b"[" * 100 + b"]" * 100, "deeper than 32"),
            (b'{"a":' * 40 + b"1" + b"}" * 40, "deeper than 32"),
            (b'{"a": 1}{"b": 2}', "not JSON"),
            (b"{'a': 1}", "not JSON"),
        ],
    )
    def test_body_that_cannot_be_read(self, body: bytes, why: str) -> None:
        """Bytes that are no strict, bounded JSON object are malformed, and the reason is said."""
        with pytest.raises(MalformedEvent, match=why) as caught:
            read(body)
        assert len(str(caught.value)) < 300

    def test_size_limit(self) -> None:
        """A message of exactly the limit is read; one byte more is malformed, with both numbers."""
        body = json.dumps(ENVELOPE)
        assert read(body, Limits(max_bytes=len(body))).id == "e-1"
        with pytest.raises(MalformedEvent, match=rf"{len(body)} bytes; the limit is {len(body) - 1}"):
            read(body, Limits(max_bytes=len(body) - 1))

    def test_depth_limit_counts_nesting_only(self) -> None:
        """Many brackets beside each other are not deep."""
        assert structured(data=[[] for _ in range(1000)]).data == [[]] * 1000

    def test_whole_surrogate_pairs_are_text(self) -> None:
        """A pair of surrogate escapes is one character and is read as that."""
        assert data_of(r'"\ud83d\ude00"') == "😀"

    def test_compressed_content(self) -> None:
        """A content encoding is refused by name, never unpacked."""
        with pytest.raises(MalformedEvent, match="gzip"):
            read(json.dumps(ENVELOPE), content_encoding="gzip")

    @settings(max_examples=60)
    @given(st.binary(max_size=200))
    def test_any_bytes_are_read_or_malformed(self, body: bytes) -> None:
        """No bytes whatever raise anything but MalformedEvent."""
        with contextlib.suppress(MalformedEvent):
            assert read(body).id


class TestNumbers:
    @pytest.mark.parametrize(
        "literal",
        ["0.1", "12345678901234567.89", "0.30000000000000001", "1234.50", "99999999999999999999999.99", "1E-7", "-0.5"],
    )
    def test_decimals_arrive_exactly(self, literal: str) -> None:
        """A Decimal field holds the number as it was written, however many digits it has."""
        body = json.dumps({**ENVELOPE, "data": {"order_id": "o", "total": "N"}}).replace('"N"', literal)
        assert read(body).validate(OrderPlaced).data.total == Decimal(literal)

    @pytest.mark.parametrize("literal", ["0.30000000000000004", "1.7976931348623157e308", "2.5", "0.0", "-0.0", "1e3"])
    def test_numbers_that_a_float_holds_stay_numbers(self, literal: str) -> None:
        """A number that a float holds as written is a number, so that patterns can compare it."""
        assert isinstance(data_of(literal), float)

    def test_large_integers_arrive_exactly(self) -> None:
        """Integers are read exactly, beyond what a float holds."""
        assert data_of("123456789012345678901234567890") == 123456789012345678901234567890


class TestDigest:
    def test_same_for_other_spellings(self) -> None:
        """Order of names, white space, escapes and the spelling of a float do not change the digest."""
        one = data_of('{"a": 1.50, "b": ["ü", 2]}')
        two = data_of('{ "b":["\\u00fc",2],"a":15e-1 }')
        assert one == two
        assert structured(data=one).digest() == structured(data=two).digest()

    def test_same_in_every_envelope_mode(self) -> None:
        """One event has one digest, however it was wrapped."""
        body = json.dumps(ORDER).encode()
        assert binary(body).digest() == structured().digest()

    @pytest.mark.parametrize(
        "change", [{"data": {**ORDER, "total": "9.91"}}, {"type": "x"}, {"subject": "s"}, {"data": None}]
    )
    def test_differs_for_other_content(self, change: dict[str, Any]) -> None:
        """Other data, another type or another subject have another digest."""
        assert structured(**change).digest() != structured().digest()

    def test_ignores_what_a_producer_may_renew(self) -> None:
        """Time and tracing differ between two sends of one event, and the digest does not."""
        renewed = structured(time="2026-11-20T08:15:00Z", traceparent="00-a-b-01")
        assert renewed.digest() == structured().digest()


class TestValidation:
    def test_names_every_broken_field_and_no_value(self) -> None:
        """Data that breaks its schema is InvalidData that names each field and why, and never shows a value."""
        with pytest.raises(InvalidData) as caught:
            structured(data={"total": "hunter2", "note": 5}).validate(OrderPlaced)
        message = str(caught.value)
        for part in ("com.shop.order.placed", "order_id: Field required", "total:", "note:"):
            assert part in message
        assert "hunter2" not in message

    def test_event_carries_all_attributes(self) -> None:
        """The typed event has every attribute and extension of its envelope."""
        event = structured(
            subject="s", time="2026-11-20T08:15:00Z", dataschema="urn:x", correlationid="c", traceparent="t", unit=5
        ).validate(OrderPlaced)
        assert event.data == OrderPlaced(order_id="o-1", total=Decimal("9.90"))
        assert (event.subject, event.dataschema) == ("s", "urn:x")
        assert event.time == datetime(2026, 11, 20, 8, 15, tzinfo=UTC)
        assert (event.correlation_id, event.causation_id, event.traceparent) == ("c", None, "t")
        assert event.extensions["unit"] == 5

    def test_fields_for_patterns(self) -> None:
        """Patterns see the attributes that are there, extensions, resources as a list, and the data."""
        fields = read(json.dumps(EVENTBRIDGE)).fields()
        assert fields["resources"] == ["arn:aws:s3:::orders", "arn:aws:s3:::more"]
        assert fields["type"] == "com.shop.order.placed"
        assert fields["time"] == "2026-11-20T08:15:00Z"
        assert fields["data"] == ORDER
        assert "subject" not in fields


PRINTABLE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
EXTENSION_NAMES = st.from_regex(r"x[a-z0-9]{1,10}", fullmatch=True)
EVENTS = st.builds(
    Event,
    source=PRINTABLE,
    id=PRINTABLE,
    type=st.just("com.shop.order.placed"),
    data=st.builds(
        OrderPlaced,
        order_id=st.text(st.characters(exclude_categories=["Cs"])),
        total=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=9),
    ),
    subject=st.none() | PRINTABLE,
    time=st.none() | st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.just(UTC)),  # noqa: DTZ001 - zone is given
    extensions=st.dictionaries(EXTENSION_NAMES, PRINTABLE | st.integers(-(2**31), 2**31 - 1) | st.booleans()),
)


class TestRoundTrips:
    @settings(max_examples=60)
    @given(EVENTS)
    def test_what_is_written_is_read_again(self, event: Event[OrderPlaced]) -> None:
        """Any event comes back equal from either mode."""
        assert open_envelope(write_structured(event), Limits()).validate(OrderPlaced) == event
        assert open_envelope(write_binary(event), Limits()).validate(OrderPlaced) == event

    @settings(max_examples=60)
    @given(EVENTS)
    def test_the_reference_library_reads_what_is_written(self, event: Event[OrderPlaced]) -> None:
        """The CloudEvents SDK reads our structured and binary messages and finds the same event."""
        message = write_structured(event)
        theirs = JSONFormat().read(CloudEvent, message.body)
        binary_message = write_binary(event)
        wire = amqp.AMQPMessage(
            {"content-type": binary_message.content_type}, dict(binary_message.headers), binary_message.body
        )
        for read_back in (theirs, amqp.from_binary(wire, JSONFormat(), CloudEvent)):
            assert read_back.get_id() == event.id
            assert read_back.get_source() == event.source
            assert read_back.get_type() == event.type
            assert read_back.get_subject() == event.subject
            if event.time is not None:  # the SDK invents one where there is none
                assert read_back.get_time() == event.time
            assert read_back.get_data() == event.data.model_dump(mode="json")
            for name, value in event.extensions.items():
                assert read_back.get_extension(name) == value

    def test_what_the_reference_library_writes_is_read(self) -> None:
        """Events that the CloudEvents SDK writes, structured and in both of its AMQP bindings, are read as meant."""
        time = datetime(2026, 11, 20, 8, 15, tzinfo=UTC)
        attributes = {
            "id": "e-1",
            "source": "/shop",
            "type": "com.shop.order.placed",
            "specversion": "1.0",
            "time": time,
            "subject": "s",
            "datacontenttype": "application/json",
            "correlationid": "c-1",
        }
        event = CloudEvent(attributes, ORDER)
        whole = JSONFormat().write(event)
        over_amqp = amqp.to_binary(event, JSONFormat())
        over_rabbitmq = rabbitmq.to_binary(event, JSONFormat())
        for opened in (
            read(whole, content_type=STRUCTURED),
            read(
                over_amqp.application_data,
                headers=over_amqp.application_properties,
                content_type=over_amqp.properties["content-type"],
            ),
            read(over_rabbitmq.body, headers=over_rabbitmq.headers, content_type=over_rabbitmq.content_type),
        ):
            assert opened.key == ("/shop", "e-1")
            assert (opened.type, opened.subject, opened.time) == ("com.shop.order.placed", "s", time)
            assert opened.extensions == {"correlationid": "c-1"}
            assert opened.data == ORDER

    def test_written_messages_tell_brokers_and_people_what_they_are(self) -> None:
        """Type and id stand in the AMQP properties too, and the routing key is the type."""
        event = Event(source="/shop", id="e-1", type="com.shop.order.placed", data=OrderPlaced(order_id="o"))
        for message in (write_structured(event, "events"), write_binary(event, "events")):
            assert (message.exchange, message.routing_key) == ("events", "com.shop.order.placed")
            assert (message.message_id, message.type) == ("e-1", "com.shop.order.placed")
