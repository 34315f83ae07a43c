"""The clauses of a data description entry, and what each says of its item."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from adaptors.files.formats.copybook.cursor import Cursor
from adaptors.files.formats.copybook.picture import Picture, picture_of
from adaptors.files.formats.copybook.source import Token, wrong

Usage = Literal["display", "packed", "binary", "native"]

_USAGES: dict[str, Usage] = {
    "DISPLAY": "display",
    "COMP-3": "packed",
    "COMPUTATIONAL-3": "packed",
    "PACKED-DECIMAL": "packed",
    "COMP": "binary",
    "COMPUTATIONAL": "binary",
    "COMP-4": "binary",
    "COMPUTATIONAL-4": "binary",
    "BINARY": "binary",
    "COMP-5": "native",
    "COMPUTATIONAL-5": "native",
}
_STRANGE_USAGES = {
    *("COMP-1", "COMP-2", "COMP-6", "COMP-N", "COMP-X", "COMPUTATIONAL-1", "COMPUTATIONAL-2", "COMPUTATIONAL-6"),
    *("COMPUTATIONAL-X", "INDEX", "POINTER", "NATIONAL", "DISPLAY-1", "BINARY-CHAR", "BINARY-SHORT", "BINARY-LONG"),
    *("BINARY-DOUBLE", "FLOAT-SHORT", "FLOAT-LONG", "PROCEDURE-POINTER", "FUNCTION-POINTER", "OBJECT"),
}


@dataclass(frozen=True, slots=True)
class Sign:
    """A SIGN clause."""

    side: Literal["leading", "trailing"]
    separate: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition name, level 88: single values and ranges, as they are written."""

    name: str
    line: int
    values: tuple[tuple[Token, Token | None], ...]


@dataclass(slots=True, eq=False)
class Item:
    """A data item: elementary if it has a `picture`, else a group of `items`. `name` is None for FILLER."""

    level: int
    name: str | None
    line: int
    clauses: str = ""
    """As they stand in the copybook."""
    picture: Picture | None = None
    usage: Usage | None = None
    sign: Sign | None = None
    redefines: str | None = None
    occurs: tuple[int, int] | None = None
    depending_on: tuple[str, ...] = ()
    """A name, and those of the groups that qualify it."""
    justified: bool = False
    blank_when_zero: bool = False
    synchronized: bool = False
    value: Token | None = None
    value_repeated: bool = False
    """VALUE ALL: the literal fills the item."""
    conditions: list[Condition] = field(default_factory=list)
    items: list["Item"] = field(default_factory=list)

    @property
    def title(self) -> str:
        """As errors and docstrings name it."""
        return f"{self.level:02} {self.name or 'FILLER'}"


def read_clauses(cursor: Cursor, item: Item) -> None:
    """Read the clauses of an entry, up to its full stop. Raises FormatError at one that is not understood."""
    first = cursor.at
    while cursor.peek() != ".":
        cursor.accept("IS")
        token = cursor.next("a clause")
        if token.text in _CLAUSES:
            _CLAUSES[token.text](cursor, item, token)
        elif token.text in _USAGES or token.text in _STRANGE_USAGES:
            _usage(item, token, cursor)
        else:
            raise wrong(cursor.name, token.line, f"{token.text} is not understood in the entry {item.title}")
    item.clauses = " ".join(token.text for token in cursor.tokens[first : cursor.at])
    if cursor.done:
        raise wrong(cursor.name, item.line, f"the entry {item.title} has no full stop at its end")
    cursor.accept(".")
    if item.blank_when_zero and item.picture and item.picture.category == "number":
        # By the standard such an item is numeric-edited: characters, which may all be spaces.
        item.picture = Picture("edited", item.picture.length)


def starts_clause(word: str) -> bool:
    """Whether a word begins a clause, or ends the entry, and so is no name."""
    return word in _CLAUSES or word in _USAGES or word in _STRANGE_USAGES or word in (".", "IS")


def read_condition(cursor: Cursor, line: int) -> Condition:
    """Read a level 88 entry behind its number, up to its full stop."""
    name = cursor.word("a condition name")
    if not cursor.accept("VALUE", "VALUES"):
        raise wrong(cursor.name, line, f"88 {name} has no VALUE")
    cursor.accept("IS", "ARE")
    values = []
    while not cursor.accept("."):
        low = cursor.next("a value")
        values.append((low, cursor.next("a value") if cursor.accept("THRU", "THROUGH") else None))
    return Condition(name, line, tuple(values))


def _usage(item: Item, token: Token, cursor: Cursor) -> None:
    if token.text not in _USAGES:
        raise wrong(cursor.name, token.line, f"{item.title}: USAGE {token.text} is not understood")
    item.usage = _USAGES[token.text]


def _usage_clause(cursor: Cursor, item: Item, token: Token) -> None:
    cursor.accept("IS")
    _usage(item, cursor.next("a USAGE"), cursor)


def _redefines(cursor: Cursor, item: Item, token: Token) -> None:
    item.redefines = cursor.word("the name that is redefined")


def _picture(cursor: Cursor, item: Item, token: Token) -> None:
    cursor.accept("IS")
    string = cursor.next("a PICTURE")
    try:
        item.picture = picture_of(string.text)
    except ValueError as error:
        raise wrong(cursor.name, string.line, f"{item.title}: {error}") from error


def _sign_clause(cursor: Cursor, item: Item, token: Token) -> None:
    cursor.accept("IS")
    _sign(cursor, item, cursor.next("LEADING or TRAILING"))


def _sign(cursor: Cursor, item: Item, token: Token) -> None:
    if token.text not in ("LEADING", "TRAILING"):
        raise wrong(cursor.name, token.line, f"{item.title}: SIGN {token.text} is not understood")
    separate = cursor.accept("SEPARATE")
    cursor.accept("CHARACTER")
    item.sign = Sign("leading" if token.text == "LEADING" else "trailing", separate)


def _occurs(cursor: Cursor, item: Item, token: Token) -> None:
    least = most = cursor.number("how often it OCCURS")
    to = cursor.accept("TO")
    if to:
        most = cursor.number("how often it OCCURS")
    cursor.accept("TIMES")
    while True:
        if cursor.accept("DEPENDING"):
            cursor.accept("ON")
            names = [cursor.word("a name")]
            while cursor.accept("OF", "IN"):
                names.append(cursor.word("a name"))
            item.depending_on = tuple(names)
        elif cursor.accept("ASCENDING", "DESCENDING"):
            cursor.accept("KEY")
            cursor.accept("IS")
            _skip_names(cursor)
        elif cursor.accept("INDEXED"):
            cursor.accept("BY")
            _skip_names(cursor)
        else:
            break
    if to and not item.depending_on:
        raise wrong(cursor.name, token.line, f"{item.title}: OCCURS with TO needs DEPENDING ON")
    # Without TO a table that depends on a count holds one item at the least.
    item.occurs = (1 if item.depending_on and not to else least, most)


def _skip_names(cursor: Cursor) -> None:
    while not starts_clause(cursor.peek()) and cursor.peek() not in ("ASCENDING", "DESCENDING", "INDEXED", "DEPENDING"):
        cursor.word("a name")


def _value(cursor: Cursor, item: Item, token: Token) -> None:
    cursor.accept("IS")
    item.value_repeated = cursor.accept("ALL")
    item.value = cursor.next("a value")


def _justified(cursor: Cursor, item: Item, token: Token) -> None:
    cursor.accept("RIGHT")
    item.justified = True


def _blank(cursor: Cursor, item: Item, token: Token) -> None:
    cursor.accept("WHEN")
    if not cursor.accept("ZERO", "ZEROS", "ZEROES"):
        raise wrong(cursor.name, token.line, f"{item.title}: BLANK {cursor.peek()} is not understood")
    item.blank_when_zero = True


def _synchronized(cursor: Cursor, item: Item, token: Token) -> None:
    cursor.accept("LEFT", "RIGHT")
    item.synchronized = True


def _nothing(cursor: Cursor, item: Item, token: Token) -> None:
    """GLOBAL and EXTERNAL say who may use the item, and nothing of its bytes."""


_CLAUSES: dict[str, Callable[[Cursor, Item, Token], None]] = {
    "BLANK": _blank,
    "EXTERNAL": _nothing,
    "GLOBAL": _nothing,
    "JUST": _justified,
    "JUSTIFIED": _justified,
    "LEADING": _sign,
    "OCCURS": _occurs,
    "PIC": _picture,
    "PICTURE": _picture,
    "REDEFINES": _redefines,
    "SIGN": _sign_clause,
    "SYNC": _synchronized,
    "SYNCHRONIZED": _synchronized,
    "TRAILING": _sign,
    "USAGE": _usage_clause,
    "VALUE": _value,
    "VALUES": _value,
}
