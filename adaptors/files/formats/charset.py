"""Character sets of fixed-width records: how characters become bytes, and nothing else ever does."""

import codecs
import re

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Charset:
    r"""An encoding in which the space and each digit are one byte, as fixed positions need.

    Never decode a whole file with one: a mainframe file holds packed numbers beside its text, and EBCDIC control bytes
    turn into line ends (0x25 is "\n" in cp037). A charset is applied to one text field at a time.
    """

    def __init__(self, encoding: str) -> None:
        try:
            self.name = codecs.lookup(encoding).name
            digits = "0123456789".encode(self.name)
            self.space = " ".encode(self.name)
        except LookupError as error:
            raise ValueError(
                f"Python knows no encoding {encoding!r}; give one of the standard library, such as cp037, cp500, "
                "cp1140, ascii or cp1252, or import the package `ebcdic` first, which brings more EBCDIC code pages"
            ) from error
        if len(self.space) != 1 or digits not in (b"0123456789", bytes(range(0xF0, 0xFA))):
            raise ValueError(f"the encoding {encoding!r} does not write a digit as one byte; fixed positions need that")
        self.ebcdic = digits[0] == 0xF0

    def encode(self, text: str) -> bytes:
        """The bytes of a text. Raises ValueError at a control character or one that this encoding lacks."""
        _refuse_controls(text)
        try:
            return text.encode(self.name)
        except UnicodeEncodeError as error:
            raise ValueError(f"{named(text[error.start])} in {text!r} is not in {self.name}") from error

    def decode(self, raw: bytes) -> str:
        """The text of the bytes. Raises ValueError at bytes that are no text, or are a control character."""
        try:
            text = raw.decode(self.name)
        except UnicodeDecodeError as error:
            raise ValueError(f"0x{raw.hex()} is not {self.name}") from error
        try:
            _refuse_controls(text)
        except ValueError as error:
            raise ValueError(f"0x{raw.hex()}: {error}") from error
        return text


def named(character: str) -> str:
    """A character as an error message names it, harmless even where it is a control character."""
    return f"{character!r} (U+{ord(character):04X})"


def _refuse_controls(text: str) -> None:
    if found := _CONTROLS.search(text):
        raise ValueError(f"the control character {named(found[0])} in {text!r} would break the record")
