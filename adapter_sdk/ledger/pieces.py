"""Many rows of the ledger in few statements of SQLite.

One statement per row spends most of its time on binding what is the same in every row, and lets go of the interpreter
for each.
"""

import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

# Rows of a statement: each size is another statement to prepare, so there are few.
_SIZES = (32, 16, 8, 4, 2, 1)
_PARAMETER = re.compile(r":(\w+)")
# Before, an UPDATE could not take its rows from anywhere.
_KNOWS_UPDATE_FROM = sqlite3.sqlite_version_info >= (3, 33)


def in_pieces(statement: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Statements that do together what this INSERT or UPDATE does for each row, each with its parameters in order.

    Nothing for a statement that has no such form.
    """
    if (3, 12) <= sys.version_info < (3, 12, 4):
        return  # there the driver warns of each parameter that has a number (python/cpython#117995)
    if not statement.startswith(("INSERT", "UPDATE") if _KNOWS_UPDATE_FROM else "INSERT"):
        return
    columns = {name: [row[name] for row in rows] for name in _PARAMETER.findall(statement)}
    same = tuple(name for name, values in columns.items() if values.count(values[0]) == len(rows))
    differing = tuple(name for name in columns if name not in same)
    if not differing:
        return
    shared = [columns[name][0] for name in same]
    values = list(chain.from_iterable(zip(*(columns[name] for name in differing), strict=True)))
    begin, width = 0, len(differing)
    for size in _SIZES:
        while begin + size * width <= len(values):
            yield _for_rows(statement, same, differing, size), shared + values[begin : begin + size * width]
            begin += size * width


@lru_cache(maxsize=256)
def _for_rows(statement: str, same: tuple[str, ...], differing: tuple[str, ...], count: int) -> str:
    """The statement for so many rows: first the parameters that are the same in all of them, then row by row."""
    # What a statement of several rows may have to undo by itself would go through a file. One that fails here ends its
    # transaction, which undoes it anyway.
    statement = statement.replace(" ", " OR FAIL ", 1)
    numbers = {name: f"?{number}" for number, name in enumerate(same, 1)}
    slots = iter(range(len(same) + 1, len(same) + count * len(differing) + 1))
    of_rows = [{name: f"?{next(slots)}" for name in differing} for _ in range(count)]
    if statement.startswith("INSERT"):
        before, values, after = re.split(r" VALUES \(([^()]*)\)", statement, maxsplit=1)
        listed = ", ".join(f"({_filled(values, numbers | row)})" for row in of_rows)
        return f"{before} VALUES {listed}{after}"
    listed = ", ".join(f"({', '.join(row.values())})" for row in of_rows)
    names = ", ".join(f"column{number} AS p_{name}" for number, name in enumerate(differing, 1))
    source = f"(SELECT {names} FROM (VALUES {listed})) AS r"
    body = _filled(statement, numbers | {name: f"r.p_{name}" for name in differing})
    return body.replace(" WHERE ", f" FROM {source} WHERE ", 1)


def _filled(text: str, places: Mapping[str, str]) -> str:
    return _PARAMETER.sub(lambda found: places[found[1]], text)
