"""What is kept of a call holds no secret, and is otherwise what was on the wire, byte for byte."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptors.soap import SoapSettings
from adaptors.soap.exhibit import exhibit_of
from adaptors.soap.record import CallRecord, Phase
from adaptors.soap.redactor import Redactor

_WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"


def _redactor(**values: Any) -> Redactor:
    return Redactor(SoapSettings.model_validate({"wsdl": Path("x.wsdl"), **values}))


def _redacted(content: str, **values: Any) -> str:
    return _redactor(redact=["{urn:erp}Pin", "token"], **values).message(content.encode()).decode()


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("<a xmlns='urn:erp'>\r\n <Pin >1234</Pin >é</a>", "<a xmlns='urn:erp'>\r\n <Pin >***</Pin >é</a>"),
        ("<x:Pin xmlns:x='urn:erp'><x:Pin>1</x:Pin>2</x:Pin>", "<x:Pin xmlns:x='urn:erp'>***</x:Pin>"),
        ("<Pin xmlns='urn:shop'>1234</Pin>", "<Pin xmlns='urn:shop'>1234</Pin>"),
        ("<a><token>s</token><b token='s&quot;t' u='v'/></a>", "<a><token>***</token><b token='***' u='v'/></a>"),
        ('<Pin xmlns="urn:erp" a="1>2"/>', '<Pin xmlns="urn:erp" a="1>2"/>'),
        ('<Pin xmlns="urn:erp" a="1>2">3</Pin>', '<Pin xmlns="urn:erp" a="1>2">***</Pin>'),
        ("<Pin xmlns='urn:erp'>12", "<Pin xmlns='urn:erp'>***"),
        ("<a xmlns='urn:erp'><Pin>1</Pin><Pin>2", "<a xmlns='urn:erp'><Pin>***</Pin><Pin>***"),
        ("<a xmlns='urn:erp'><b></c><z:Pin q='1'>1</z:Pin>2", "<a xmlns='urn:erp'><b></c><z:Pin q='1'>***</z:Pin>2"),
        ("oops <token>secret", "oops <token>***"),
        ("oops token='secret' x", "oops token='***' x"),
        ("", ""),
        (
            "<a>&lt;z:Pin q='1'&gt;12&lt;/z:Pin&gt; &lt;token&gt;3</a>",
            "<a>&lt;z:Pin q='1'&gt;***&lt;/z:Pin&gt; &lt;token&gt;***</a>",
        ),
        (
            f"<S:Security xmlns:S='{_WSSE}'><S:UsernameToken><S:Password>x</S:Password></S:UsernameToken></S:Security>",
            f"<S:Security xmlns:S='{_WSSE}'>***</S:Security>",
        ),
    ],
)
def test_secret_elements_and_attributes_lose_their_content(content: str, shown: str) -> None:
    """By qualified name where there is XML; by name alone behind the place where it breaks; nothing else changes."""
    assert _redacted(content) == shown


@given(st.binary(max_size=300))
def test_what_holds_no_secret_stays_as_it_was(content: bytes) -> None:
    """Any bytes at all come through, whatever they are."""
    if content[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"token" not in content:
        assert _redactor(redact=["{urn:erp}Pin", "token"]).message(content) == content


def test_secret_values_are_masked_wherever_they_stand() -> None:
    """A server that repeats the password in its fault gives nothing away, escaped or not; short ones stand alone."""
    values: dict[str, Any] = {
        "username": "jo",
        "password": 'pass&"word<1',
        "http_headers": {"X-Key": "key", "X-Flag": "1"},
        "soap_headers": {"{urn:erp}ApiKey": "0123456789"},
    }
    text = (
        'a pass&"word<1 b pass&amp;"word&lt;1 c pass&amp;&quot;word&lt;1 key monkey 1 x0123456789x am86cGFzcyYid29yZDwx'
    )
    assert _redactor(**values).text(text) == "a *** b *** c *** *** monkey 1 x***x ***"
    assert _redacted(f"<a>{text}</a>", **values) == "<a>a *** b *** c *** *** monkey 1 x***x ***</a>"


def test_a_text_with_xml_in_it_is_redacted_as_well() -> None:
    """A reason into which a server has put what it was sent shows no more than the message itself would."""
    text = "no: <z:Pin>12</z:Pin> <u token='3'/> <token>4"
    assert (
        _redactor(redact=["{urn:erp}Pin", "token"]).text(text) == "no: <z:Pin>***</z:Pin> <u token='***'/> <token>***"
    )


def test_a_message_in_utf_16_is_redacted_too() -> None:
    """It is shown as UTF-8; without a byte order mark nothing of it is shown."""
    content = '<?xml version="1.0" encoding="UTF-16"?><a><token>secret</token>b</a>'
    redactor = _redactor(redact=["token"])
    assert redactor.message(content.encode("utf-16")).decode().endswith("<a><token>***</token>b</a>")
    assert b"s\x00e\x00c" not in redactor.message("<a><token>secret</token>b</a>".encode("utf-16-le"))


def _exhibit(answer: bytes) -> dict[str, Any]:
    record = CallRecord("Book", "http://erp/", Phase.PARSE, bytes_sent=4, status=500, received=bytearray(answer))
    return exhibit_of(record, b"<a/>", _redactor()) or {}


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (b"<b>\xc3\xa9</b>", "<b>é</b>"),
        (b"<b>\xe9</b>", b"<b>\xe9</b>"),
        (b"x" * 65_536, "x" * 65_536),
        (b"x" * 70_000, "x" * 65_536 + "… (4464 more bytes)"),
        (b"x" * 65_535 + "éé".encode(), "x" * 65_535 + "… (3 more bytes)"),
        (b"\xe9" * 70_000, b"\xe9" * 65_536 + "… (4464 more bytes)".encode()),
    ],
    ids=["text", "not UTF-8", "at the limit", "above it", "cut inside a character", "bytes above it"],
)
def test_what_is_kept_is_text_where_it_can_be_and_says_how_much_is_missing(answer: bytes, kept: str | bytes) -> None:
    """64 KiB of each message; a cut never looks like the end."""
    assert _exhibit(answer)["answer"] == kept


def test_a_call_that_was_not_sent_has_nothing_to_show() -> None:
    """Without a byte on the wire there is no exchange."""
    assert exhibit_of(CallRecord("Book", "http://erp/", Phase.CONNECT), b"<a/>", _redactor()) is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["x", "<token ", "x:", "<", "token='", "<token>", "&lt;token ", "&lt;token&gt;", "&#9;", "<a>"]
)
def test_large_answers_of_any_kind_are_read_once(piece: str) -> None:
    """The time that it takes grows with the answer, not with its square: a megabyte is a moment."""
    content = piece.encode() * (1_000_000 // len(piece))
    assert _redactor(redact=["token"]).message(content)
