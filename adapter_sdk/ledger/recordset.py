"""Many rows of the ledger as one JSON value, which PostgreSQL takes in a third of the time of a statement per row."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from adapter_sdk.ledger.schema import create_statements, migration_statements

_PARAMETER = re.compile(r":(\w+)")
_COLUMN = re.compile(r"(?:^  |ADD COLUMN )(\w+) ([A-Z]+(?: PRECISION)?(?:\(\d+\))?)", re.MULTILINE)


@lru_cache(maxsize=64)
def over_rows(statement: str) -> str | None:
    """The same INSERT or UPDATE for all rows of the JSON array `:rows` at once; None for any other statement."""
    names = list(dict.fromkeys(_PARAMETER.findall(statement)))
    # A parameter that is no column is compared with a number.
    columns = "".join(f", p_{name} {_types().get(name, 'BIGINT')}" for name in names)
    source = f"json_to_recordset(CAST(:rows AS json)) AS r(absent BOOLEAN{columns})"
    body = _PARAMETER.sub(r"r.p_\1", statement)
    if body.startswith("INSERT"):
        before, values, after = re.split(r" VALUES \(([^()]*)\)", body, maxsplit=1)
        return f"{before} SELECT {values} FROM {source}{after}"
    if body.startswith("UPDATE"):
        # Taking a column for NULL that always is one makes the planner expect a single row, and so look each up by the
        # primary key: a plan made when the table was small reads all of it when it has grown.
        return body.replace(" WHERE ", f" FROM {source} WHERE r.absent IS NULL AND ", 1)
    return None


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """The value of `:rows`."""
    return json.dumps(
        [{f"p_{name}": value for name, value in row.items() if value is not None} for row in rows], default=_bytea
    )


def _bytea(value: bytes) -> str:
    return f"\\x{value.hex()}"


@lru_cache(maxsize=1)
def _types() -> dict[str, str]:
    statements = [*create_statements("BYTEA"), *migration_statements(1)]
    return dict(_COLUMN.findall("\n".join(statements)))
