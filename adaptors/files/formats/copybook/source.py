"""The text of a copybook as words, literals and full stops, each with its line; fixed and free reference format."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from adaptors.files.errors import FormatError

SourceFormat = Literal["fixed", "free"]

_LAST_COLUMN = 72
# Behind it is what identifies the line, eight characters; an entry that goes on there has its full stop or a bracket.
_BEYOND = re.compile(r"(?=.{9}|.*[()]|.*\.$).*")
_TOKEN = re.compile(
    r"""(?P<literal>(?:[XNZBGH]|[NB]X)?(?:"(?:[^"]|"")*"|'(?:[^']|'')*'))
    | (?P<stop>[.,;]+(?=\s|$))
    | (?P<word>[^\s"']+?(?=[.,;]*(?:\s|$)|["']))
    | (?P<open>\S.*)""",
    re.VERBOSE | re.IGNORECASE,
)
# Listing control stands on a line of its own, with or without a full stop.
_LISTING = re.compile(r"\s*(?:EJECT|SKIP[123]|TITLE\s.*)\s*\.?\s*", re.IGNORECASE)
_FREE_DIRECTIVE = re.compile(r"\s*(?:>>\s*SOURCE|\$SET\s+SOURCEFORMAT).*FREE.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    """A word in capitals, a literal with its quotes, or the full stop that ends an entry."""

    text: str
    line: int

    @property
    def is_literal(self) -> bool:
        """Whether it stands in quotes."""
        return self.text.endswith(('"', "'"))


def text_of(literal: str) -> str:
    """What stands between the quotes of a literal; a quote that is doubled is one."""
    return literal[1:-1].replace(literal[0] * 2, literal[0])


def wrong(name: str, line: int, what: str) -> FormatError:
    """An error with file and line."""
    return FormatError(f"{name}:{line}: {what}")


def tokens_of(name: str, text: str, source_format: SourceFormat | None) -> Iterator[Token]:
    """The tokens of a copybook, which errors call by its name; None finds out which format its lines have.

    Raises FormatError, with file and line, where it is no text of a copybook.
    """
    lines = [line.rstrip("\r").expandtabs(8) for line in text.rstrip("\x1a\0").split("\n")]
    fixed = (source_format or _format_of(lines)) == "fixed"
    joined, starts = _joined(name, lines, fixed)
    for found in _TOKEN.finditer(joined):
        line = starts[bisect_right(starts, (found.start(), len(lines) + 1)) - 1][1]
        if found["open"]:
            raise wrong(name, line, f"a literal is not closed: {found['open'][:20]!r}")
        if found["stop"] is None:
            yield Token(found["literal"] or found["word"].upper(), line)
        elif "." in found["stop"]:
            yield Token(".", line)


def _format_of(lines: list[str]) -> SourceFormat:
    if any(_FREE_DIRECTIVE.fullmatch(line) for line in lines):
        return "free"
    return "fixed" if all(_looks_fixed(line) for line in lines) else "free"


def _looks_fixed(line: str) -> bool:
    area, indicator = line[:6], line[6:7]
    return (not area.strip() or (" " not in area.rstrip() and not area.startswith(" "))) and indicator in " *-/Dd$"


def _joined(name: str, lines: list[str], fixed: bool) -> tuple[str, list[tuple[int, int]]]:
    """One text without comments, continued lines put together; and from which character on which line is there."""
    text, starts, quote = "", [(0, 1)], ""
    for number, line in enumerate(lines, 1):
        # In free format a comment's asterisk has no column of its own; many copybooks have it in front of the text.
        free = line, "*" if line.lstrip().startswith("*") else " "
        body, indicator = (line[7:_LAST_COLUMN], line[6:7] or " ") if fixed else free
        if indicator in "*/Dd" or not body.strip() or _LISTING.fullmatch(body) or _FREE_DIRECTIVE.fullmatch(line):
            continue
        if indicator not in " -" or body.lstrip().startswith((">>", "$")):
            raise wrong(name, number, f"{line.strip()!r} is not understood")
        if fixed and (beyond := _BEYOND.fullmatch(line[_LAST_COLUMN:].rstrip())):
            what = f"{beyond[0].strip()!r} stands beyond column 72, where fixed format ends"
            raise wrong(name, number, f"{what}; move it to the left, or say --source-format free")
        if indicator == "-":
            text, body = _continued(name, number, text, body, quote)
        elif quote:
            raise wrong(name, starts[-1][1], "a literal is not closed on its line, and the next does not continue it")
        else:
            text += "\n"
        starts.append((len(text), number))
        # In fixed format a literal that goes on in the next line has all blanks up to column 72.
        body, quote = _without_comment(body.ljust(_LAST_COLUMN - 7) if fixed else body, quote)
        text += body if quote else body.rstrip()
    return text, starts


def _continued(name: str, number: int, text: str, body: str, quote: str) -> tuple[str, str]:
    body = body.lstrip()
    if not quote:
        return text.rstrip(), body
    if not body.startswith(quote):
        raise wrong(name, number, f"the literal is continued without {quote}")
    return text, body[1:]


def _without_comment(body: str, quote: str) -> tuple[str, str]:
    """The line up to *>, and the quote that is open at its end; `quote` is open at its start."""
    for at, character in enumerate(body):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif body.startswith("*>", at):
            return body[:at], ""
    return body, quote
