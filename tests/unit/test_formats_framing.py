"""How a file of fixed-width records is cut into records, and put together again."""

from collections.abc import Callable
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_sdk.errors import ConfigError
from adaptors.files import BadRecord, Binary, Bytes, FixedWidth, FormatError, Number, Occurs, Packed, Text


class Plain(FixedWidth, encoding="cp037"):
    name: Annotated[str, Text(4)]
    amount: Annotated[int, Packed(3)]


class Variable(Plain, prefix="rdw"):
    pass


class Blocked(Plain, prefix="bdw", block_size=26):
    pass


class Varying(FixedWidth, encoding="ascii", prefix="gnucobol"):
    count: Annotated[int, Number(1)]
    letters: Annotated[list[Annotated[str, Text(1)]], Occurs(0, 9, depending_on="count")]


class Ach(FixedWidth, encoding="ascii", line_end=b"\r\n", blocking_factor=3, block_fill=b"9"):
    """Filled up to whole blocks with lines of nines, as ACH files are."""

    name: Annotated[str, Text(4)]


records = st.lists(st.tuples(st.text("ABC", max_size=4), st.integers(-999, 999)), max_size=12)


@pytest.mark.parametrize("form", [Plain, Variable, Blocked])
@given(rows=records)
def test_records_read_back_and_are_written_again_byte_by_byte(form: type[Plain], rows: list[tuple[str, int]]) -> None:
    """Whatever stands between the records, they come back, and the file is the same the second time."""
    given = [form(name=name, amount=amount) for name, amount in rows]
    data = form.encode_all(given)
    again = list(form.decode_all(data))
    assert again == given
    assert form.encode_all(again) == data


def test_a_record_descriptor_word_counts_itself_and_gnucobol_does_not() -> None:
    """RECFM=V: two bytes of length, the word's own four included, and two of zero; GnuCOBOL counts the record alone."""
    assert Variable.encode_all([Variable(name="A", amount=1)]).hex() == "000a0000" + "c1404040" + "001c"
    data = Varying.encode_all([Varying(count=2, letters=["a", "b"]), Varying(count=0, letters=[])])
    assert data.hex() == "00030000" + b"2ab".hex() + "00010000" + b"0".hex()


def test_blocks_are_as_full_as_they_can_be_and_no_longer_than_they_may_be() -> None:
    """RECFM=VB: a block descriptor word counts its block; a record that does not fit in begins the next one."""
    rows = [Blocked(name=name, amount=1) for name in "ABC"]
    data = Blocked.encode_all(rows)
    assert (data[:4].hex(), data[24:28].hex(), len(data)) == ("00180000", "000e0000", 24 + 14)
    assert [row.name for row in Blocked.decode_all(data)] == ["A", "B", "C"]

    class Small(Plain, prefix="bdw", block_size=16):
        note: Annotated[str, Text(3)]

    with pytest.raises(FormatError, match="record 1 is 9 bytes long, and a block of 16 bytes has room for 8"):
        Small.encode_all([Small(name="A", amount=1, note="")])


@pytest.mark.parametrize(
    ("form", "data", "reason"),
    [
        (
            Variable,
            "000a0000c140",
            "the record at byte 0 has 10 bytes after its descriptor word 0x000a0000, and there are 6",
        ),
        (Variable, "000a0100c1404040001c", "0x000a0100 at byte 0 is no record descriptor word .a spanned record"),
        (Variable, "c1404040001c", "0xc1404040 at byte 0 is no record descriptor word"),
        (Variable, "000a00", "0x000a00 at byte 0 is no record descriptor word"),
        (Variable, "00030000", "is no record descriptor word"),
        (Blocked, "000a0000c1404040001c", "is no record descriptor word"),
        (Blocked, "00200000c1404040001c", 'no block descriptor word, or the file ends within the block.*prefix="rdw"'),
        (Plain, "c1404040001cc14040", "the file ends within the record at byte 6, after 3 of 6 bytes: 0xc14040"),
    ],
)
def test_a_broken_frame_ends_the_reading_with_place_and_hex(form: type[Plain], data: str, reason: str) -> None:
    """Where the next record cannot be found nothing is guessed: the error says the byte and what stands there."""
    with pytest.raises(FormatError, match=reason):
        list(form.decode_each(bytes.fromhex(data)))


def test_a_record_of_another_length_than_its_layout_is_an_error() -> None:
    """A record that is too long or too short for its layout is named, and the next one is read."""
    data = bytes.fromhex("000b0000" + "c1404040001cff" + "00090000" + "c140404000" + "000a0000" + "c1404040001c")
    long, short, good = Variable.decode_each(data)
    assert isinstance(long, BadRecord)
    assert "at offset 6, stand 1 bytes: 0xff" in str(long.error)
    assert isinstance(short, BadRecord)
    assert "the record ends within the field, after 0x00" in str(short.error)
    assert good == Variable(name="A", amount=1)


def test_the_last_block_is_filled_up_and_the_filling_is_no_record() -> None:
    """The file is a whole number of blocks; records that only fill up are left out when it is read."""
    data = Ach.encode_all([Ach(name=name) for name in ("A", "B", "C", "D")])
    assert data == b"A   \r\nB   \r\nC   \r\nD   \r\n9999\r\n9999\r\n"
    assert [record.name for record in Ach.decode_all(data)] == ["A", "B", "C", "D"]
    assert Ach.encode_all([]) == b""
    assert list(Ach.decode_all(b"")) == []


def test_a_block_that_is_not_whole_and_a_record_that_looks_like_filling_are_refused() -> None:
    """Neither a file without whole blocks nor a last record that would be lost is taken."""
    with pytest.raises(FormatError, match="24 bytes, which is no whole number of blocks of 3 records of 6 bytes"):
        list(Ach.decode_all(b"A   \r\n" * 4))
    with pytest.raises(FormatError, match="record 1 is 0x39393939, which only fills up a block"):
        Ach.encode_all([Ach(name="9999")])


class Line(FixedWidth, encoding="ascii", line_end=b"\n", short_lines=True):
    name: Annotated[str, Text(5)]
    rest: Annotated[bytes, Bytes(3)] = b"   "


def test_lines_lose_the_spaces_at_their_end_as_cobol_writes_them() -> None:
    """A LINE SEQUENTIAL file is written without trailing spaces, an empty record as an empty line, and read in full."""
    data = Line.encode_all([Line(name="Ann"), Line(name="", rest=b" x "), Line(name="")])
    assert data == b"Ann\n      x\n\n"
    assert list(Line.decode_all(data)) == [Line(name="Ann"), Line(name="", rest=b" x "), Line(name="")]


def test_a_line_that_holds_a_line_end_is_not_written() -> None:
    """Bytes that would break the line in two are refused before anything is written."""
    with pytest.raises(FormatError, match="record 1 holds a line end: 0x"):
        Line.encode_all([Line(name="A", rest=b"a\nb")])


def _prefix_and_line_end() -> None:
    class R(Plain, prefix="rdw", line_end=b"\n"):
        pass


def _fill_without_factor() -> None:
    class R(Plain, block_fill=b"9"):
        pass


def _blocks_of_varying_records() -> None:
    class R(FixedWidth, encoding="ascii", blocking_factor=3, block_fill=b"9"):
        count: Annotated[int, Number(1)]
        letters: Annotated[list[Annotated[str, Text(1)]], Occurs(0, 9, depending_on="count")]


def _short_lines_with_binary() -> None:
    class R(FixedWidth, encoding="ascii", short_lines=True, line_end=b"\n"):
        a: Annotated[int, Binary(5)]


def _small_blocks() -> None:
    class R(Plain, prefix="bdw", block_size=8):
        pass


@pytest.mark.parametrize(
    ("declare", "reason"),
    [
        (_prefix_and_line_end, "neither a line_end nor a blocking_factor"),
        (_fill_without_factor, "block_fill is the one byte"),
        (_blocks_of_varying_records, "needs records of one length"),
        (_short_lines_with_binary, "packed or binary field"),
        (_small_blocks, "block_size 8 is not 16 to 32760"),
    ],
)
def test_options_that_contradict_each_other_are_refused_when_the_class_is_made(
    declare: Callable[[], None], reason: str
) -> None:
    """What cannot be written or read is a ConfigError, before any event arrives."""
    with pytest.raises(ConfigError, match=reason):
        declare()
