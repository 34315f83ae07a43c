"""Python source text: expressions that are broken as formatters break them, and kinds as they are written."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

WIDTH = 88  # characters, the default of formatters


@dataclass(frozen=True, slots=True)
class Bracketed:
    """An expression in brackets, such as Annotated[int, Zoned(5)]: `opening`, what is in it, `closing`."""

    opening: str
    inner: Sequence["Expression"]
    closing: str

    def __str__(self) -> str:
        return f"{self.opening}{', '.join(map(str, self.inner))}{self.closing}"


Expression = str | Bracketed


def annotated(*inner: Expression) -> Bracketed:
    """Annotated[...] of these."""
    return Bracketed("Annotated[", inner, "]")


def statement(start: str, expression: Expression, end: str = "", indent: int = 4) -> list[str]:
    """The lines of a statement, one within each bracket's line where it would be too long."""
    blank = " " * indent
    line = f"{blank}{start}{expression}{end}"
    if len(line) <= WIDTH or isinstance(expression, str):
        return [line]
    inner = [line for one in expression.inner for line in statement("", one, ",", indent + 4)]
    return [f"{blank}{start}{expression.opening}", *inner, f"{blank}{expression.closing}{end}"]


def call(kind: Any) -> str:
    """A dataclass instance as it is written: its first field, and those that differ from what follows from it."""
    first, *others = (one for one in fields(kind) if one.init)
    value = getattr(kind, first.name)
    plain = type(kind)(value)
    named = [f"{one.name}={literal(getattr(kind, one.name))}" for one in others if _differs(kind, plain, one.name)]
    return f"{type(kind).__name__}({', '.join([literal(value), *named])})"


def literal(value: object) -> str:
    """A value as formatters write it: texts and bytes in double quotes, if they hold none."""
    text = repr(value)
    if not isinstance(value, (str, bytes)) or '"' in text:
        return text
    prefix = "b" if isinstance(value, bytes) else ""
    inner = text[len(prefix) + 1 : -1].replace("\\'", "'")
    return f'{prefix}"{inner}"'


def _differs(kind: Any, plain: Any, name: str) -> bool:
    return bool(getattr(kind, name) != getattr(plain, name))
