"""Field kinds of numbers, named as COBOL has them. None rounds or cuts: what does not fit is an error.

A kind goes into the annotation: `quantity: Annotated[int, Zoned(5)]`. `decimals` counts the digits after the implied
point (V); with the scaling position P it is negative (999PPP: -3) or larger than the digits (VPP99: 4).
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Literal

from adaptors.files.formats.charset import Charset, Overpunch
from adaptors.files.formats.kinds import Kind, declare
from adaptors.files.formats.numerals import digits_of, number_of
from adaptors.files.formats.record import hexed, shown

_SIGN_NIBBLES = {"a": False, "c": False, "e": False, "f": False, "b": True, "d": True}
_LETTERS = {False: b"{ABCDEFGHI", True: b"}JKLMNOPQR"}


def _punched(ebcdic: bool, overpunch: Overpunch) -> tuple[dict[bool, bytes], dict[int, tuple[bool, str]]]:
    """The bytes of the digits 0 to 9 with a sign over them, by whether it is a minus, and how each byte is read."""
    if ebcdic:
        zones = {int(nibble, 16) << 4: minus for nibble, minus in _SIGN_NIBBLES.items()}
        written = {False: bytes(range(0xC0, 0xCA)), True: bytes(range(0xD0, 0xDA))}
        return written, {zone | n: (minus, str(n)) for zone, minus in zones.items() for n in range(10)}
    written = _LETTERS if overpunch == "ebcdic" else {False: b"0123456789", True: b"pqrstuvwxy"}
    read = {byte: (minus, str(n)) for minus, row in written.items() for n, byte in enumerate(row)}
    return written, {**read, **{byte: (False, str(n)) for n, byte in enumerate(b"0123456789")}}


_CONVENTIONS: tuple[tuple[bool, Overpunch], ...] = ((True, "ebcdic"), (False, "ebcdic"), (False, "ascii"))
_PUNCHED = {convention: _punched(*convention) for convention in _CONVENTIONS}


class Numeric(Kind):
    """A number with a fixed count of decimals: an int where there are none, a Decimal always."""

    decimals: int

    def types(self) -> tuple[type, ...]:
        return (Decimal,) if self.decimals > 0 else (int, Decimal)


@dataclass(frozen=True)
class Number(Numeric):
    """Digits as a person reads them: PIC 9(n)V9(decimals), with an implied point unless `point` is written.

    `length` is the whole field in bytes, with sign and point. `sign` "none" refuses negative values; "leading" and
    "trailing" write a separate + or - (SIGN SEPARATE). `pad` fills in front of the number; with " " the sign stays
    beside the digits.
    """

    length: int
    decimals: int = 0
    sign: Literal["none", "leading", "trailing"] = "none"
    point: Literal["", ".", ","] = ""
    pad: Literal["0", " "] = "0"

    def __post_init__(self) -> None:
        declare(self, self.sign in ("none", "leading", "trailing"), 'sign is "none", "leading" or "trailing"')
        declare(self, self.point in ("", ".", ","), 'point is "", "." or ","')
        declare(self, self.pad in ("0", " "), 'pad is "0" or " "')
        declare(self, not self.point or self.decimals > 0, "a written point needs decimals after it")
        declare(self, self.digits >= max(1, self.decimals if self.point else 0), "too short for its digits")

    @property
    def digits(self) -> int:
        """How many digits the field has room for."""
        return self.length - (self.sign != "none") - len(self.point)

    def encode(self, value: Any, charset: Charset) -> bytes:
        negative, digits = digits_of(value, self.digits, self.decimals)
        if negative and self.sign == "none":
            raise ValueError(f"{shown(value)} is negative and the field has no sign")
        if self.pad == " ":
            digits = digits.lstrip("0").rjust(min(max(self.decimals, 0) + 1, self.digits), "0")
        if self.point:
            digits = f"{digits[: -self.decimals]}{self.point}{digits[-self.decimals :]}"
        sign = "" if self.sign == "none" else "-" if negative else "+"
        text = digits + sign if self.sign == "trailing" else sign + digits
        return charset.encode(text.rjust(self.length))

    def decode(self, raw: bytes, charset: Charset) -> int | Decimal:
        text = charset.decode(raw)
        body = text.lstrip(" ") if self.pad == " " else text
        sign = "+"
        if self.sign == "leading":
            sign, body = body[:1], body[1:]
        elif self.sign == "trailing":
            sign, body = body[-1:], body[:-1]
        if self.point:
            whole, point, rest = body.rpartition(self.point)
            body = whole + rest if point and len(rest) == self.decimals else ""
        shortest = min(max(self.decimals, 0), self.digits)
        if sign not in ("+", "-") or not (body.isascii() and body.isdigit()) or len(body) < shortest:
            raise ValueError(f"{text!r} ({hexed(raw)}) is not a number as {self} writes it")
        return number_of(sign == "-", body, self.decimals)


@dataclass(frozen=True)
class Zoned(Numeric):
    """Zoned decimal, PIC S9(digits - decimals)V9(decimals): one byte per digit, the sign punched over one of them.

    `sign` says over which: the last, or with "leading" the first. In an EBCDIC encoding that byte is 0xCn or 0xDn (0xA,
    0xB, 0xE and 0xF are read, too). In another encoding it is the digit itself or "p" to "y" (0x7n), as Micro Focus and
    GnuCOBOL write it; with `overpunch="ebcdic"` in the class line it is one of "{ABCDEFGHI" or "}JKLMNOPQR", as in
    mainframe files that were translated. An unsigned PIC 9 is a `Number`, and so is one with a SEPARATE sign.
    """

    digits: int
    decimals: int = 0
    sign: Literal["trailing", "leading"] = "trailing"
    length: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", self.digits)
        declare(self, self.digits > 0, "digits is at least 1")
        declare(self, self.sign in ("trailing", "leading"), 'sign is "trailing" or "leading"')

    def encode(self, value: Any, charset: Charset) -> bytes:
        negative, digits = digits_of(value, self.digits, self.decimals)
        body = charset.encode(digits)
        row = _PUNCHED[charset.ebcdic, charset.overpunch][0][negative]
        if self.sign == "leading":
            return row[int(digits[0]) :][:1] + body[1:]
        return body[:-1] + row[int(digits[-1]) :][:1]

    def decode(self, raw: bytes, charset: Charset) -> int | Decimal:
        at, plain = (0, raw[1:]) if self.sign == "leading" else (-1, raw[:-1])
        zone = 0xF0 if charset.ebcdic else 0x30
        digits = "".join([str(byte - zone) for byte in plain])
        punched = _PUNCHED[charset.ebcdic, charset.overpunch][1].get(raw[at])
        # A byte outside the zone makes a number of two digits, or one with a minus.
        if punched is None or len(digits) != len(plain) or not (digits.isdigit() or not plain):
            raise ValueError(f"{hexed(raw)} is not a zoned decimal in {charset.name}")
        negative, digit = punched
        return number_of(negative, digit + digits if self.sign == "leading" else digits + digit, self.decimals)


@dataclass(frozen=True)
class Packed(Numeric):
    """Packed decimal, COMP-3, PIC S9(digits - decimals)V9(decimals): two digits a byte, the sign in the last half byte.

    Writes 0xC or 0xD, or 0xF where `signed` is False; reads those and 0xA, 0xB and 0xE. `length` is digits // 2 + 1.
    """

    digits: int
    decimals: int = 0
    signed: bool = True
    length: int = field(init=False, repr=False)
    binary: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", self.digits // 2 + 1)
        declare(self, self.digits > 0, "digits is at least 1")

    def encode(self, value: Any, charset: Charset) -> bytes:
        negative, digits = digits_of(value, self.digits, self.decimals)
        if negative and not self.signed:
            raise ValueError(f"{shown(value)} is negative and the field has no sign")
        sign = "d" if negative else "c" if self.signed else "f"
        return bytes.fromhex(f"{digits}{sign}".rjust(2 * self.length, "0"))

    def decode(self, raw: bytes, charset: Charset) -> int | Decimal:
        digits, sign = raw.hex()[:-1], raw.hex()[-1]
        negative = _SIGN_NIBBLES.get(sign)
        unused = len(digits) - self.digits
        if negative is None or not digits.isdigit() or digits[:unused].strip("0") or (negative and not self.signed):
            raise ValueError(f"{hexed(raw)} is not a packed decimal of {self.digits} digits")
        return number_of(negative, digits, self.decimals)


@dataclass(frozen=True)
class Binary(Numeric):
    """Two's complement, PIC S9(digits - decimals)V9(decimals) COMP, COMP-4 or BINARY; COMP-5 with `native=True`.

    `length` is by default 2 bytes for up to 4 digits, 4 for up to 9 and 8 for up to 18 (IBM; Micro Focus and GnuCOBOL
    can take fewer). A number of more digits is refused, since a program compiled with TRUNC(STD) would cut it; with
    `native` whatever the bytes can hold is a value, as in COMP-5 or with TRUNC(BIN). `order` is that of the bytes:
    COMP-5 has the order of the machine, "little" on x86.
    """

    digits: int
    decimals: int = 0
    signed: bool = True
    order: Literal["big", "little"] = "big"
    length: int = 0
    native: bool = False
    binary: ClassVar[bool] = True

    def __post_init__(self) -> None:
        declare(self, 0 < self.digits <= 18, "digits is 1 to 18")
        declare(self, self.order in ("big", "little"), 'order is "big" or "little"')
        if self.length == 0:
            object.__setattr__(self, "length", 2 if self.digits <= 4 else 4 if self.digits <= 9 else 8)
        needed = next(n for n in range(1, 9) if 256**n >= 10**self.digits * (1 + self.signed))
        declare(self, needed <= self.length <= 8, f"length is {needed} to 8 bytes for so many digits")

    def encode(self, value: Any, charset: Charset) -> bytes:
        negative, digits = digits_of(value, 20 if self.native else self.digits, self.decimals)
        number = -int(digits) if negative else int(digits)
        try:
            return number.to_bytes(self.length, self.order, signed=self.signed)
        except OverflowError as error:
            least, most = self._range()
            if negative and not self.signed:
                raise ValueError(f"{shown(value)} is negative and the field has no sign") from error
            raise ValueError(f"{shown(value)} does not fit: the field holds {least} to {most}") from error

    def decode(self, raw: bytes, charset: Charset) -> int | Decimal:
        number = int.from_bytes(raw, self.order, signed=self.signed)
        digits = str(abs(number))
        if len(digits) > self.digits and not self.native:
            raise ValueError(f"{hexed(raw)} is {number}, and the field holds {self.digits} digits")
        return number_of(number < 0, digits, self.decimals)

    def _range(self) -> tuple[Decimal, Decimal]:
        bits = 8 * self.length - self.signed
        least, most = -(2**bits) if self.signed else 0, 2**bits - 1
        return Decimal(least).scaleb(-self.decimals), Decimal(most).scaleb(-self.decimals)
