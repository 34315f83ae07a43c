"""Dialects of delimited files: how values are set apart, quoted and escaped, on the standard library's csv."""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from adaptors.files.formats.charset import codec_of

_QUOTING = {"minimal": csv.QUOTE_MINIMAL, "text": csv.QUOTE_NONNUMERIC, "all": csv.QUOTE_ALL, "none": csv.QUOTE_NONE}
_MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


class Bare:
    """A text that is not quoted as texts are, because it stands for a number or for None."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __int__(self) -> int:
        """What csv looks for in a number; it writes `str()`."""
        raise NotImplementedError


class Row(NamedTuple):
    """The values of a row, the line it ends in, and where it stands in the text."""

    values: list[str]
    line: int
    start: int
    end: int


@dataclass(frozen=True)
class Dialect:
    """The options of a class of delimited records."""

    encoding: str | None = None
    delimiter: str = ","
    header: bool = True
    quoting: str = "minimal"
    quote: str = '"'
    escape: str | None = None
    line_end: str = "\r\n"
    decimal_point: str = "."
    null: str = ""
    bom: bool = False

    @property
    def mark(self) -> bytes:
        """The byte order mark of the encoding, empty where it has none, or where the codec sees to it."""
        return _MARKS.get(codec_of(str(self.encoding)), b"")

    def writer(self, lines: list[str]) -> Any:
        """A csv writer that appends each row, with its line end, to the lines."""
        # csv quotes what the line end it was given contains, so it is given both characters; a value with the other
        # one would else go out bare and break its row.
        return csv.writer(
            _Lines(lines, self.line_end), lineterminator="\r\n", **self._parameters(_QUOTING[self.quoting])
        )

    def rows(self, text: str) -> Iterator[Row]:
        """The rows of a text. Raises csv.Error, with the line, at quotes that are not as the dialect has them."""
        counted = _Counted(text)
        # csv would make floats of what QUOTE_NONNUMERIC left without quotes.
        bare = self.quoting == "none"
        reader = csv.reader(counted, **self._parameters(csv.QUOTE_NONE if bare else csv.QUOTE_MINIMAL))
        start = 0
        try:
            for values in reader:
                yield Row(values, reader.line_num, start, counted.position)
                start = counted.position
        except csv.Error as error:
            raise csv.Error(f"line {reader.line_num}: {error}") from error

    def _parameters(self, quoting: int) -> dict[str, Any]:
        return {
            "delimiter": self.delimiter,
            "quoting": quoting,
            "quotechar": None if self.quoting == "none" else self.quote,
            "doublequote": self.escape is None,
            "escapechar": self.escape,
            "strict": True,
        }

    def faults(self) -> Iterator[str]:
        """What is wrong with these options, one sentence each."""
        yield from self._encoding_faults()
        single = {"delimiter": self.delimiter, "quote": self.quote, "escape": self.escape}
        for name, character in single.items():
            if character is not None and (len(character) != 1 or character in "\r\n"):
                yield f"the {name} {character!r} is not one character, or is a line end"
        if len({*filter(None, single.values())}) < 3 - (self.escape is None):
            yield "delimiter, quote and escape are not different characters"
        if self.quoting not in _QUOTING:
            yield f"quoting {self.quoting!r} is not one of {', '.join(_QUOTING)}"
        if self.line_end not in ("\r\n", "\n", "\r"):
            yield f"line_end {self.line_end!r} is not one of '\\r\\n', '\\n', '\\r'"
        if self.decimal_point not in (".", ","):
            yield f"decimal_point {self.decimal_point!r} is neither '.' nor ','"
        if any(character in self.null for character in ("\r", "\n", *filter(None, single.values()))):
            yield f"null {self.null!r} holds a delimiter, quote, escape or line end"

    def _encoding_faults(self) -> Iterator[str]:
        if self.encoding is None:
            yield 'say the encoding in the class line, such as encoding="utf-8" or "cp1252"'
            return
        try:
            mark = self.mark
        except ValueError as error:
            yield str(error)
            return
        if self.bom and not mark:
            yield f"bom=True needs an encoding of {', '.join(_MARKS)}, not {self.encoding}"


class _Lines:
    """What csv writes to: it hands over each row whole, here with the line end that the file is to have."""

    def __init__(self, lines: list[str], line_end: str) -> None:
        self._lines = lines
        self._line_end = line_end

    def write(self, row: str, /) -> None:
        self._lines.append(row[:-2] + self._line_end)


class _Counted:
    """The lines of a text, each with its end, and how many characters have been given out."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self.position = 0

    def __iter__(self) -> "_Counted":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.position += len(line)
        return line
