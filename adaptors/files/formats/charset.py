"""Character sets of fixed-width records: how characters become bytes, and nothing else ever does."""

import codecs
import re
from importlib import import_module
from typing import Literal

from adaptors.files.formats.record import hexed, shown

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Overpunch = Literal["ebcdic", "ascii"]


class Charset:
    r"""An encoding in which the space and each digit are one byte, as fixed positions need.

    Never decode a whole file with one: a mainframe file holds packed numbers beside its text, and EBCDIC control bytes
    turn into line ends (0x25 is "\n" in cp037). A charset is applied to one text field at a time. `overpunch` says how
    a sign is punched over a zoned digit; by default as the encoding's own machines do it.
    """

    def __init__(self, encoding: str, overpunch: Overpunch | None = None) -> None:
        self.name = codec_of(encoding)
        digits, self.space = "0123456789".encode(self.name), " ".encode(self.name)
        if len(self.space) != 1 or digits not in (b"0123456789", bytes(range(0xF0, 0xFA))):
            raise ValueError(f"the encoding {encoding!r} does not write a digit as one byte; fixed positions need that")
        self.ebcdic = digits[0] == 0xF0
        self.overpunch: Overpunch = overpunch or ("ebcdic" if self.ebcdic else "ascii")
        if self.ebcdic and self.overpunch == "ascii":
            raise ValueError(f'overpunch="ascii" has no meaning in the EBCDIC encoding {encoding}')

    def encode(self, text: str) -> bytes:
        """The bytes of a text. Raises ValueError at a control character or one that this encoding lacks."""
        if found := _CONTROLS.search(text):
            raise ValueError(f"the control character {named(found[0])} in {shown(text)} would break the record")
        try:
            return text.encode(self.name)
        except UnicodeEncodeError as error:
            raise ValueError(f"{named(text[error.start])} in {shown(text)} is not in {self.name}") from error

    def decode(self, raw: bytes) -> str:
        """The text of the bytes. Raises ValueError at bytes that are no text, or are a control character."""
        try:
            text = raw.decode(self.name)
        except UnicodeDecodeError as error:
            bad = raw[error.start : error.end].hex()
            raise ValueError(f"{hexed(raw)}: 0x{bad} at byte {error.start} is not {self.name}") from error
        if found := _CONTROLS.search(text):
            at = len(text[: found.start()].encode(self.name))
            raise ValueError(f"{hexed(raw)}: the control character {named(found[0])} at byte {at} is no text")
        return text


def codec_of(encoding: str) -> str:
    """The name under which Python knows an encoding. Raises ValueError, with the remedy, if it knows none."""
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        pass
    try:
        # Registers cp1047, cp1141 to cp1149 and more EBCDIC code pages with codecs.
        import_module("ebcdic")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"Python knows no encoding {encoding!r}; the standard library has cp037, cp500, cp1140, ascii, cp1252 and "
            "others; for more EBCDIC code pages, such as cp1047: pip install 'legacy-event-adaptor-toolkit[ebcdic]'"
        ) from error
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise ValueError(f"neither Python nor the package ebcdic knows an encoding {encoding!r}") from error


def named(character: str) -> str:
    """A character as an error message names it, harmless even where it is a control character."""
    return f"{character!r} (U+{ord(character):04X})"
