"""Single values as text, for the formats that are text: exact, canonical and readable again.

Reading converts only what is written canonically and hands everything else on as text, for the strict model to judge.
pydantic's own lax parsing would take the date "20261120" for seconds since 1970.
"""

import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from adaptors.files.formats.record import shown

Reader = Callable[[str], object]

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}")


def to_text(value: object) -> str:
    """The canonical text of one value: ISO 8601 for times, no exponents. Raises ValueError for a type without one."""
    if type(value) is str:
        return value
    writer = next((write for kind, write in _WRITERS if isinstance(value, kind)), None)
    if writer is None:
        raise ValueError(f"{shown(value)} is a {type(value).__name__}, which has no text form here")
    return writer(value)


def _plain(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError(f"{value} is not a number")
    return f"{value:f}"


# The order matters: bool is an int, datetime is a date, and an Enum may be a str.
_WRITERS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (Enum, lambda value: to_text(value.value)),
    (str, str),
    (bool, lambda value: "true" if value else "false"),
    (int, str),
    (Decimal, _plain),
    (float, lambda value: _plain(Decimal(repr(value)))),
    (datetime, datetime.isoformat),
    (date, date.isoformat),
    (time, time.isoformat),
    (UUID, str),
)


def reader_of(kind: Any) -> Reader | None:
    """How to read the text of a value of this type, or None if no value of it can stand as text."""
    if get_origin(kind) is Literal:
        choices = {to_text(choice): choice for choice in get_args(kind)}
        return lambda text: choices.get(text, text)
    if not isinstance(kind, type):
        return None
    if issubclass(kind, Enum):
        members = {to_text(member): member for member in kind}
        return lambda text: members.get(text, text)
    return next((read for base, read in _READERS if issubclass(kind, base)), None)


def _matching(pattern: re.Pattern[str], convert: Callable[[str], object]) -> Reader:
    return lambda text: convert(text) if pattern.fullmatch(text) else text


def _attempt(convert: Callable[[str], object]) -> Reader:
    def read(text: str) -> object:
        try:
            return convert(text)
        except ValueError:
            return text

    return read


_READERS: tuple[tuple[type, Reader], ...] = (
    (str, lambda text: text),
    (bool, lambda text: {"true": True, "1": True, "false": False, "0": False}.get(text, text)),
    (int, _attempt(_matching(_INTEGER, int))),
    (Decimal, _matching(_DECIMAL, Decimal)),
    (float, _matching(_DECIMAL, float)),
    (datetime, _attempt(lambda text: datetime.fromisoformat(text) if _DATE.match(text) else text)),
    (date, _attempt(_matching(_DATE, date.fromisoformat))),
    (time, _attempt(lambda text: time.fromisoformat(text) if _TIME.match(text) else text)),
    (UUID, _attempt(UUID)),
)


def unwrap(annotation: Any) -> tuple[Any, bool, tuple[Any, ...]]:
    """The bare type of an annotation, whether None is allowed, and what `Annotated` carries on the way to it."""
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        bare, optional, metadata = unwrap(inner)
        return bare, optional, (*metadata, *extras)
    if get_origin(annotation) in (Union, UnionType):
        arms = [arm for arm in get_args(annotation) if arm is not NoneType]
        if len(arms) == 1:
            bare, _, metadata = unwrap(arms[0])
            return bare, True, metadata
    return annotation, False, ()
