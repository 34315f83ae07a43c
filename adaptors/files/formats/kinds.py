"""Field kinds of fixed-width records, named as COBOL has them: how one value fills one fixed number of bytes.

A kind goes into the annotation: `quantity: Annotated[int, Zoned(5)]`. Another layout is another subclass of `Kind`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from adapter_sdk.errors import ConfigError
from adaptors.files.formats.charset import Charset
from adaptors.files.formats.numerals import digits_of, number_of
from adaptors.files.formats.record import shown

_SIGN_NIBBLES = {"a": False, "c": False, "e": False, "f": False, "b": True, "d": True}


class _Zones(NamedTuple):
    """The upper half of a zoned digit's byte: any but the last; the last as written by sign; the last as read."""

    plain: int
    written: dict[bool, int]
    read: dict[int, bool]


_ZONES = {
    True: _Zones(0xF0, {False: 0xC0, True: 0xD0}, {int(n, 16) << 4: minus for n, minus in _SIGN_NIBBLES.items()}),
    False: _Zones(0x30, {False: 0x30, True: 0x70}, {0x30: False, 0x70: True}),
}
"""By whether the encoding is an EBCDIC one."""


class Kind(ABC):
    """One layout of a value. `length` is in bytes and never varies; what does not fit is a ValueError, never cut."""

    length: int

    @abstractmethod
    def types(self) -> tuple[type, ...]:
        """The Python types that a field of this kind may be annotated with."""

    @abstractmethod
    def encode(self, value: Any, charset: Charset) -> bytes:
        """Exactly `length` bytes. Raises ValueError, showing the value, if it does not fit without loss."""

    @abstractmethod
    def decode(self, raw: bytes, charset: Charset) -> Any:
        """The value of `length` bytes. Raises ValueError, showing their hex, if they are not of this layout."""

    def faults(self, charset: Charset, annotation: type) -> list[str]:
        """What is wrong with this kind for a field of this type in this charset, one sentence each."""
        if annotation in self.types():
            return []
        names = " or ".join(kind.__name__ for kind in self.types())
        return [f"{self} holds {names}, and the field is declared {getattr(annotation, '__name__', annotation)}"]


@dataclass(frozen=True)
class Text(Kind):
    """Characters, PIC X(length), filled up with `pad` after ("left") or before ("right") the text.

    `length` is in bytes of the encoding. The fill is not part of the value: a value that ends in it reads back shorter.
    """

    length: int
    pad: str = " "
    align: Literal["left", "right"] = "left"

    def __post_init__(self) -> None:
        _declare(self, self.length >= 1, "a field is at least 1 byte long")
        _declare(self, len(self.pad) == 1, "pad is one character")
        _declare(self, self.align in ("left", "right"), 'align is "left" or "right"')

    def types(self) -> tuple[type, ...]:
        return (str,)

    def encode(self, value: Any, charset: Charset) -> bytes:
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} is not text")  # noqa: TRY004  # whatever does not fit is a ValueError
        raw = charset.encode(value)
        missing = self.length - len(raw)
        if missing < 0:
            raise ValueError(f"{shown(value)} is {len(raw)} bytes long and the field holds {self.length}")
        fill = charset.encode(self.pad) * missing
        return raw + fill if self.align == "left" else fill + raw

    def decode(self, raw: bytes, charset: Charset) -> str:
        text = charset.decode(raw)
        return text.rstrip(self.pad) if self.align == "left" else text.lstrip(self.pad)

    def faults(self, charset: Charset, annotation: type) -> list[str]:
        found = super().faults(charset, annotation)
        try:
            if len(charset.encode(self.pad)) != 1:
                found.append(f"the pad {self.pad!r} is more than one byte in {charset.name}")
        except ValueError as error:
            found.append(f"pad: {error}")
        return found


class Numeric(Kind):
    """A number with a fixed count of decimals: an int where there are none, a Decimal always."""

    decimals: int

    def types(self) -> tuple[type, ...]:
        return (Decimal,) if self.decimals else (int, Decimal)


@dataclass(frozen=True)
class Number(Numeric):
    """Digits as a person reads them: PIC 9(n)V9(decimals), with an implied point unless `point` is written.

    `length` is the whole field in bytes, with sign and point. `sign` "none" refuses negative values; "leading" and
    "trailing" write a separate + or -. `pad` fills in front of the number; with " " the sign stays beside the digits.
    """

    length: int
    decimals: int = 0
    sign: Literal["none", "leading", "trailing"] = "none"
    point: Literal["", ".", ","] = ""
    pad: Literal["0", " "] = "0"

    def __post_init__(self) -> None:
        _declare(self, self.sign in ("none", "leading", "trailing"), 'sign is "none", "leading" or "trailing"')
        _declare(self, self.point in ("", ".", ","), 'point is "", "." or ","')
        _declare(self, self.pad in ("0", " "), 'pad is "0" or " "')
        _declare(self, self.decimals >= 0, "decimals is 0 or more")
        _declare(self, not self.point or self.decimals > 0, "a written point needs decimals after it")
        _declare(self, self.digits >= max(1, self.decimals + len(self.point)), "too short for its digits")

    @property
    def digits(self) -> int:
        """How many digits the field has room for."""
        return self.length - (self.sign != "none") - len(self.point)

    def encode(self, value: Any, charset: Charset) -> bytes:
        negative, digits = digits_of(value, self.digits, self.decimals)
        if negative and self.sign == "none":
            raise ValueError(f"{shown(value)} is negative and the field has no sign")
        if self.pad == " ":
            digits = digits.lstrip("0").rjust(min(self.decimals + 1, self.digits), "0")
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
            body = whole + rest if whole and point and len(rest) == self.decimals else ""
        if sign not in ("+", "-") or not (body.isascii() and body.isdigit()) or len(body) < self.decimals:
            raise ValueError(f"{text!r} (0x{raw.hex()}) is not a number as {self} writes it")
        return number_of(sign == "-", body, self.decimals)


@dataclass(frozen=True)
class Zoned(Numeric):
    """Zoned decimal, PIC S9(digits - decimals)V9(decimals): one byte per digit, the sign punched over the last.

    In an EBCDIC encoding the last byte is 0xCn or 0xDn (0xFn, 0xAn, 0xEn and 0xBn are read, too); in an ASCII one it is
    the digit itself or "p" to "y" (0x7n), as Micro Focus and GnuCOBOL write it. An unsigned PIC 9 is a `Number`.
    """

    digits: int
    decimals: int = 0
    length: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", self.digits)
        _declare(self, 0 <= self.decimals <= self.digits > 0, "digits is at least 1 and at least decimals")

    def encode(self, value: Any, charset: Charset) -> bytes:
        negative, digits = digits_of(value, self.digits, self.decimals)
        body = charset.encode(digits)
        zone = _ZONES[charset.ebcdic].written[negative]
        return body[:-1] + bytes([zone | (body[-1] & 0x0F)])

    def decode(self, raw: bytes, charset: Charset) -> int | Decimal:
        zones = _ZONES[charset.ebcdic]
        negative = zones.read.get(raw[-1] & 0xF0)
        digits = "".join(str(byte & 0x0F) for byte in raw)
        if negative is None or len(digits) != len(raw) or any(byte & 0xF0 != zones.plain for byte in raw[:-1]):
            raise ValueError(f"0x{raw.hex()} is not a zoned decimal in {charset.name}")
        return number_of(negative, digits, self.decimals)


@dataclass(frozen=True)
class Packed(Numeric):
    """Packed decimal, COMP-3, PIC S9(digits - decimals)V9(decimals): two digits a byte, the sign in the last half byte.

    Writes 0xC or 0xD, or 0xF where `signed` is False; reads those and 0xA, 0xB and 0xE. `length` is digits // 2 + 1.
    """

    digits: int
    decimals: int = 0
    signed: bool = True
    length: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", self.digits // 2 + 1)
        _declare(self, 0 <= self.decimals <= self.digits > 0, "digits is at least 1 and at least decimals")

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
            raise ValueError(f"0x{raw.hex()} is not a packed decimal of {self.digits} digits")
        return number_of(negative, digits, self.decimals)


def _declare(kind: Kind, holds: bool, rule: str) -> None:
    if not holds:
        raise ConfigError(f"{kind}: {rule}")
