"""Numbers in fixed-width records: signs, scaling positions, binary numbers, and what none of them may lose."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_sdk.errors import ConfigError
from adaptors.files import Binary, Kind, Number, Packed, Zoned
from adaptors.files.formats.charset import Charset

EBCDIC = Charset("cp037")
ASCII = Charset("ascii")
TRANSLATED = Charset("ascii", "ebcdic")

digits, decimals = st.integers(1, 18), st.integers(-4, 22)
kinds = st.one_of(
    st.builds(Zoned, digits, decimals, st.sampled_from(["leading", "trailing"])),
    st.builds(Packed, digits, decimals),
    st.builds(Binary, digits, decimals, order=st.sampled_from(["big", "little"])),
    st.builds(Number, digits.map(lambda n: n + 1), decimals, st.sampled_from(["leading", "trailing"])),
)


@pytest.mark.parametrize("charset", [EBCDIC, ASCII, TRANSLATED])
@given(kind=kinds, seed=st.integers(0, 2 * 10**18 - 2))
def test_every_number_that_a_kind_holds_reads_back_as_it_was(charset: Charset, kind: Any, seed: int) -> None:
    """Signs, decimals, scaling and byte order do not change a value, and the bytes are the same the second time."""
    limit = 10**kind.digits
    value = Decimal(seed % (2 * limit - 1) - limit + 1).scaleb(-kind.decimals)
    raw = kind.encode(value, charset)
    assert len(raw) == kind.length
    again = kind.decode(raw, charset)
    assert again == value
    assert kind.encode(again, charset) == raw


@pytest.mark.parametrize(
    ("kind", "charset", "value", "expected"),
    [
        (Zoned(3, sign="leading"), EBCDIC, -12, "d0f1f2"),
        (Zoned(3, sign="leading"), ASCII, -12, "703132"),
        (Zoned(3), TRANSLATED, 12, b"01B".hex()),
        (Zoned(3), TRANSLATED, 10, b"01{".hex()),
        (Zoned(3), TRANSLATED, -12, b"01K".hex()),
        (Zoned(3, sign="leading"), TRANSLATED, -12, b"}12".hex()),
        (Zoned(1), EBCDIC, -7, "d7"),
        (Number(3, decimals=-3), ASCII, 123000, b"123".hex()),
        (Zoned(2, decimals=4), ASCII, Decimal("-0.0012"), b"1r".hex()),
        (Packed(3, decimals=-2), EBCDIC, -12300, "123d"),
        (Binary(4), EBCDIC, 1234, "04d2"),
        (Binary(4), EBCDIC, -1, "ffff"),
        (Binary(9, decimals=2), EBCDIC, Decimal("1.50"), "00000096"),
        (Binary(18), EBCDIC, 1, "0000000000000001"),
        (Binary(4, signed=False), EBCDIC, 9999, "270f"),
        (Binary(4, order="little"), ASCII, 1234, "d204"),
        (Binary(2, length=1), ASCII, -2, "fe"),
        (Binary(7, length=3, signed=False), ASCII, 9999999, "98967f"),
        (Binary(4, native=True), EBCDIC, 32767, "7fff"),
        (Binary(4, native=True, signed=False), EBCDIC, 65535, "ffff"),
        (Binary(4, native=True, decimals=2), EBCDIC, Decimal("-327.68"), "8000"),
    ],
)
def test_a_number_is_written_in_these_bytes_and_read_from_them(
    kind: Kind, charset: Charset, value: Any, expected: str
) -> None:
    """Each kind of number writes exactly the bytes that its COBOL counterpart does, and reads the same value."""
    assert kind.encode(value, charset).hex() == expected
    assert kind.decode(bytes.fromhex(expected), charset) == value


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (Binary(4), 10000, "10000 does not fit: the field holds 4 digits"),
        (Binary(4, signed=False), -1, "negative"),
        (Binary(4, native=True), 32768, "32768 does not fit: the field holds -32768 to 32767"),
        (Binary(4, native=True, signed=False), 65536, "the field holds 0 to 65535"),
        (Binary(4, native=True, decimals=2), Decimal("327.68"), "holds -327.68 to 327.67"),
        (Binary(4, native=True, decimals=2), Decimal("0.001"), "more decimals"),
        (Number(3, decimals=-3), 123456, "more decimals than the -3"),
        (Number(3, decimals=-3), 1000000, "does not fit"),
        (Zoned(2, decimals=4), Decimal("0.01"), "does not fit"),
        (Packed(3), 1.0, "is a float"),
    ],
)
def test_a_number_that_does_not_fit_is_refused_and_never_truncated(kind: Kind, value: Any, reason: str) -> None:
    """What TRUNC would cut, a scaling position would lose or the bytes cannot hold is an error that says the bounds."""
    with pytest.raises(ValueError, match=reason):
        kind.encode(value, EBCDIC)


@pytest.mark.parametrize(
    ("kind", "charset", "raw"),
    [
        (Binary(4), EBCDIC, "2710"),
        (Binary(4), EBCDIC, "d8f0"),
        (Zoned(3), TRANSLATED, b"01q".hex()),
        (Zoned(3), ASCII, b"01K".hex()),
        (Zoned(3, sign="leading"), EBCDIC, "f1f2d3"),
        (Zoned(3), ASCII, b"0-1".hex()),
        (Zoned(3), ASCII, b"0:1".hex()),
        (Zoned(1), ASCII, b" ".hex()),
    ],
)
def test_bytes_that_are_no_such_number_are_an_error_with_their_hex(kind: Kind, charset: Charset, raw: str) -> None:
    """A binary number of too many digits, or a sign of another convention, is never taken for a value."""
    with pytest.raises(ValueError, match=f"0x{raw}"):
        kind.decode(bytes.fromhex(raw), charset)


def test_a_positive_number_without_a_punched_sign_is_read_in_every_convention() -> None:
    """Programs leave the zone of a positive number as it was; it is read as plus."""
    assert Zoned(2).decode(b"12", TRANSLATED) == Zoned(2).decode(b"12", ASCII) == 12
    assert Zoned(2).decode(bytes.fromhex("f1f2"), EBCDIC) == 12


@pytest.mark.parametrize(
    ("digits", "signed", "length"),
    [(1, True, 2), (4, True, 2), (5, True, 4), (9, False, 4), (10, True, 8), (18, True, 8)],
)
def test_the_size_of_a_binary_number_follows_from_its_digits(digits: int, signed: bool, length: int) -> None:
    """Up to 4 digits take 2 bytes, up to 9 four, up to 18 eight, as IBM has it."""
    assert Binary(digits, signed=signed).length == length


@pytest.mark.parametrize(
    ("declare", "reason"),
    [
        (lambda: Binary(19), "digits is 1 to 18"),
        (lambda: Binary(5, length=2), "length is 3 to 8 bytes"),
        (lambda: Binary(2, order="middle"), "order"),  # type: ignore[arg-type]
        (lambda: Zoned(3, sign="separate"), "sign is"),  # type: ignore[arg-type]
        (lambda: Charset("cp037", "ascii"), "no meaning in the EBCDIC encoding cp037"),
    ],
)
def test_a_number_that_cannot_be_is_refused_when_it_is_declared(declare: Any, reason: str) -> None:
    """Impossible digits, lengths and conventions are errors at the declaration."""
    with pytest.raises((ConfigError, ValueError), match=reason):
        declare()


@pytest.mark.parametrize(
    ("encoding", "bracket", "euro"),
    [
        ("cp037", "ba", None),
        ("cp500", "4a", None),
        ("cp1047", "ad", None),
        ("cp1140", "ba", "9f"),
        ("cp1141", "63", "9f"),
        ("cp273", "63", None),
    ],
)
def test_code_pages_differ_where_they_are_known_to_differ(encoding: str, bracket: str, euro: str | None) -> None:
    """The bracket and the euro sign stand at their places, in pages of the standard library and of `ebcdic`."""
    charset = Charset(encoding)
    assert charset.encode("[").hex() == bracket
    assert charset.ebcdic
    if euro is not None:
        assert charset.encode("€").hex() == euro
    else:
        with pytest.raises(ValueError, match="'€'"):
            charset.encode("€")
