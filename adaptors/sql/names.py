"""Names of tables, columns and procedures in a statement: they come from an adaptor's code, never from events."""

import re
from collections.abc import Iterable

from sqlalchemy import Dialect

_NAME = re.compile(r"[^\W\d][\w$#]*")
_MOST_PARTS = 3


def checked(names: Iterable[str]) -> None:
    """Raises ValueError if one of them is not a plain name."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name[:80]!r} is not a plain name: write letters, digits, _, $ and #, in the code alone")


def parts_of(name: str) -> list[str]:
    """`table`, `schema.table` or `catalog.schema.table` in its parts. Raises ValueError."""
    parts = name.split(".")
    checked(parts)
    if len(parts) > _MOST_PARTS:
        raise ValueError(f"{name[:80]!r} has too many parts")
    return parts


def quoted(name: str, dialect: Dialect) -> str:
    """A name as the database takes it. Raises ValueError."""
    return ".".join(map(dialect.identifier_preparer.quote, parts_of(name)))
