"""What a data item is in a model: its Python type, its kind, and how many bytes it takes."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from adaptors.files.formats.charset import Charset, Overpunch
from adaptors.files.formats.copybook.clauses import Item
from adaptors.files.formats.copybook.picture import Picture
from adaptors.files.formats.copybook.source import text_of
from adaptors.files.formats.copybook.views import views_of
from adaptors.files.formats.kinds import Bytes, Kind, Text
from adaptors.files.formats.numbers import Binary, Number, Packed, Zoned

BinarySize = Literal["2-4-8", "1-2-4-8", "1--8"]


@dataclass(frozen=True)
class Machine:
    """What the copybook does not say: the characters, and how the program that it belongs to was compiled.

    `binary_size` in the words of GnuCOBOL: "2-4-8" bytes (IBM), "1-2-4-8" (GnuCOBOL), or as few as will do, "1--8"
    (Micro Focus). `native_order` is the byte order of COMP-5. With `full_range` a COMP holds what its bytes can, as
    with TRUNC(BIN).
    """

    encoding: str
    overpunch: Overpunch | None = None
    binary_size: BinarySize = "2-4-8"
    native_order: Literal["big", "little"] | None = None
    full_range: bool = False

    @property
    def charset(self) -> Charset:
        """Raises ValueError if Python does not know the encoding, or it cannot be used."""
        return Charset(self.encoding, self.overpunch)


def kind_of(item: Item, machine: Machine) -> tuple[str, Kind]:
    """The Python type and the kind of an elementary item."""
    picture = item.picture
    assert picture is not None  # groups have no kind
    if item.name is None:
        return "bytes", Bytes(_number(item, picture, machine).length if _is_number(picture) else picture.length)
    if _is_number(picture):
        return "Decimal" if picture.decimals > 0 else "int", _number(item, picture, machine)
    return "str", Text(picture.length, align="right" if item.justified else "left")


def filler(item: Item, machine: Machine) -> bytes:
    """What stands in an elementary item without a name when it is written: its VALUE, else spaces, or a packed zero."""
    charset, picture, value = machine.charset, item.picture, item.value.text if item.value else ""
    assert picture is not None  # as above
    if _is_number(picture):
        kind = _number(item, picture, machine)
        if re.fullmatch(r"[+-]?[0-9]*\.?[0-9]+", value):
            return kind.encode(Decimal(value), charset)
        blank = isinstance(kind, (Number, Zoned)) and not value.startswith("ZERO")
        return charset.space * kind.length if blank else kind.encode(0, charset)
    length = picture.length
    for word, byte in (("LOW-VALUE", b"\0"), ("HIGH-VALUE", b"\xff"), ("ZERO", charset.encode("0"))):
        if value.startswith(word):
            return byte * length
    raw = charset.encode(text_of(value)) if value[:1] in ("'", '"') else b""
    return (raw * length if item.value_repeated else raw).ljust(length, charset.space)[:length]


def bounds(item: Item, machine: Machine) -> tuple[int, int]:
    """The fewest and the most bytes of an item, with all that it OCCURS."""
    if item.picture is not None:
        low = high = kind_of(item, machine)[1].length
    else:
        within = [bounds(one, machine) for one in item.items if one.redefines is None]
        areas = [area_length(item, one, machine) for one in item.items if one.redefines is None]
        low = sum(least for least, _ in within)
        high = sum(max(most, area) for (_, most), area in zip(within, areas, strict=True))
        low = high if all(least == most for least, most in within) else low
    least, most = item.occurs or (1, 1)
    return low * least, high * most


def area_length(group: Item, base: Item, machine: Machine) -> int:
    """Bytes of an item with those that redefine it: of the longest."""
    return max(bounds(one, machine)[1] for one in views_of(group, base))


def _is_number(picture: Picture) -> bool:
    return picture.category == "number"


def _number(item: Item, picture: Picture, machine: Machine) -> Kind:
    digits, decimals, signed = picture.digits, picture.decimals, picture.signed
    if item.usage == "packed":
        return Packed(digits, decimals, signed)
    if item.usage in ("binary", "native"):
        native = item.usage == "native"
        order = (machine.native_order or ("big" if machine.charset.ebcdic else "little")) if native else "big"
        length = _binary_length(digits, signed, machine.binary_size)
        return Binary(digits, decimals, signed, order, length, native or machine.full_range)
    if not signed:
        return Number(digits, decimals)
    side, separate = (item.sign.side, item.sign.separate) if item.sign else ("trailing", False)
    return Number(digits + 1, decimals, side) if separate else Zoned(digits, decimals, side)


def _binary_length(digits: int, signed: bool, size: BinarySize) -> int:
    if size == "1--8":
        return next(n for n in range(1, 9) if 256**n >= 10**digits * (1 + signed))
    if size == "1-2-4-8" and digits <= 2:
        return 1
    return 2 if digits <= 4 else 4 if digits <= 9 else 8
