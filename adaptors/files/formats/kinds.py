"""Field kinds of fixed-width records: how one value fills one fixed number of bytes. Those of numbers: `numbers`.

A kind goes into the annotation: `sku: Annotated[str, Text(8)]`. Another layout is another subclass of `Kind`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from adapter_sdk.errors import ConfigError
from adaptors.files.formats.charset import Charset
from adaptors.files.formats.record import shown


class Kind(ABC):
    """One layout of a value. `length` is in bytes and never varies; what does not fit is a ValueError, never cut.

    Of numbers, `decimals` counts the digits after the implied point V; with the scaling position P it is negative
    (999PPP: -3) or larger than the digits (VPP99: 4).
    """

    length: int
    binary: ClassVar[bool] = False
    """Whether a value may well hold the bytes of a line end, as packed and binary numbers do."""

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
        declare(self, self.length >= 1, "a field is at least 1 byte long")
        declare(self, len(self.pad) == 1, "pad is one character")
        declare(self, self.align in ("left", "right"), 'align is "left" or "right"')

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


@dataclass(frozen=True)
class Bytes(Kind):
    """Bytes that are kept as they are: FILLER, areas that nobody has described, dumps of another layout."""

    length: int

    def __post_init__(self) -> None:
        declare(self, self.length >= 1, "a field is at least 1 byte long")

    def types(self) -> tuple[type, ...]:
        return (bytes,)

    def encode(self, value: Any, charset: Charset) -> bytes:
        if not isinstance(value, bytes):
            raise ValueError(f"{shown(value)} is not bytes")  # noqa: TRY004  # whatever does not fit is a ValueError
        if len(value) != self.length:
            raise ValueError(f"{shown(value)} is {len(value)} bytes long and the field holds exactly {self.length}")
        return value

    def decode(self, raw: bytes, charset: Charset) -> bytes:
        return raw


def declare(kind: Kind, holds: bool, rule: str) -> None:
    """Raises ConfigError, with the kind and the rule that its parameters break, unless the rule holds."""
    if not holds:
        raise ConfigError(f"{kind}: {rule}")
