"""The handle that a file drop's handler is given."""

from collections.abc import Iterator
from typing import Annotated

import pytest
from pydantic import Field

from adaptors.files import Drop, FixedWidth, FormatError, JsonLines, Text, Zoned


class PickLine(FixedWidth, encoding="cp037"):
    sku: Annotated[str, Text(3)]
    quantity: Annotated[int, Zoned(2)]


class Small(JsonLines):
    n: Annotated[int, Field(le=5)]


def test_records_are_kept_in_the_form_of_their_class() -> None:
    """What a handler writes is the whole file, from a generator as the design shows it."""
    drop = Drop()
    drop.write(PickLine(sku=sku, quantity=1) for sku in ("A", "B"))
    assert drop.content == bytes.fromhex("c14040f0c1c24040f0c1")


def test_a_single_record_is_a_file_of_one() -> None:
    """A record is not taken for an iterable of its own fields."""
    drop = Drop()
    drop.write(Small(n=1))
    assert drop.content == b'{"n":1}\n'


def test_text_and_bytes_are_kept_as_given() -> None:
    """Text needs its encoding said; bytes are the file."""
    text, raw = Drop(), Drop()
    text.write_text("Zürich\r\n", encoding="cp850")
    raw.write_bytes(b"")
    assert (text.content, raw.content) == (b"Z\x81rich\r\n", b"")


def test_an_untouched_drop_has_no_content() -> None:
    """A handler that writes nothing drops nothing, which is not the same as an empty file."""
    assert Drop().content is None


def test_a_second_write_is_an_error() -> None:
    """One file per event: what a second write would do is not guessed."""
    drop = Drop()
    drop.write_bytes(b"one")
    with pytest.raises(FormatError, match="one file per event"):
        drop.write_bytes(b"two")
    assert drop.content == b"one"


def test_a_failed_write_keeps_nothing() -> None:
    """A record that does not fit leaves no half of a file behind."""
    drop = Drop()
    with pytest.raises(FormatError, match="record 2, field sku"):
        drop.write([PickLine(sku="A", quantity=1), PickLine(sku="ABCD", quantity=1)])
    assert drop.content is None


def test_a_record_that_its_model_refuses_is_a_format_error() -> None:
    """A value against the model, raised while the drop takes the records, can never be written: no retry will help."""

    def records() -> Iterator[Small]:
        yield Small(n=1)
        yield Small(n=6)

    with pytest.raises(FormatError, match=r"Small: n: .*less than or equal to 5, got 6"):
        Drop().write(records())


def test_no_records_and_no_records_at_all_are_errors() -> None:
    """An empty list has no form that it could be written in, and a string is not a record."""
    with pytest.raises(FormatError, match="no records to write"):
        Drop().write([])
    with pytest.raises(FormatError, match="for a str see write_bytes and write_text"):
        Drop().write("text")  # type: ignore[arg-type]


def test_text_outside_its_encoding_is_an_error() -> None:
    """No character is replaced."""
    with pytest.raises(FormatError, match="character 1 of the text, '€', is not in latin-1"):
        Drop().write_text("a€", encoding="latin-1")
