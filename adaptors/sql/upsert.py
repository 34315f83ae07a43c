"""Insert a row, or update the one that has its key: always the key that was named, never another unique one."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    TableClause,
    Update,
    bindparam,
    column,
    insert,
    inspect,
    or_,
    select,
    table,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from adaptors.sql.names import checked, parts_of

Row = Mapping[str, Any]

# The databases in which the conflict to act upon can be named in the statement.
_ON_CONFLICT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_KEYS = "adaptor.keys"


def upsert(
    connection: Connection, name: str | TableClause, rows: Sequence[Row], key: Sequence[str], newer_by: str | None
) -> int:
    """How many rows were written. See `Connection.upsert`."""
    if not rows:
        return 0
    columns = tuple(rows[0])
    _check(rows, columns, key, newer_by)
    into = name if isinstance(name, TableClause) else _table(name, columns)
    if connection.dialect.name in _ON_CONFLICT:
        statement = _on_conflict(connection.dialect.name, into, columns, tuple(key), newer_by)
        result = connection.execute(statement, list(rows), execution_options={"preserve_rowcount": True})
        return result.rowcount
    _check_that_it_is_a_key(connection, into, key)
    return sum(_insert_or_update(connection, into, row, key, newer_by) for row in rows)


def _check(rows: Sequence[Row], columns: Sequence[str], key: Sequence[str], newer_by: str | None) -> None:
    checked(columns)
    if any(tuple(row) != columns for row in rows):
        raise ValueError("the rows of one upsert have the same columns, in the same order")
    if missing := [one for one in (*key, *([newer_by] if newer_by else ())) if one not in columns]:
        raise ValueError(f"the row has no {' and no '.join(missing)}; it has {', '.join(columns)}")
    if not key:
        raise ValueError("an upsert names the columns of its key")
    if newer_by and any(row[newer_by] is None for row in rows):
        raise ValueError(f"a row whose {newer_by} is None is neither newer nor older")


@lru_cache(maxsize=256)
def _table(name: str, columns: tuple[str, ...]) -> TableClause:
    *schema, last = parts_of(name)
    return table(last, *map(column, columns), schema=".".join(schema) or None)


@lru_cache(maxsize=256)
def _on_conflict(
    dialect: str, into: TableClause, columns: tuple[str, ...], key: tuple[str, ...], newer_by: str | None
) -> Any:
    statement = _ON_CONFLICT[dialect](into)
    values = {name: statement.excluded[name] for name in columns if name not in key}
    if not values:
        return statement.on_conflict_do_nothing(index_elements=list(key))
    newer = None if newer_by is None else _older(into, newer_by, statement.excluded[newer_by])
    return statement.on_conflict_do_update(index_elements=list(key), set_=values, where=newer)


def _older(into: TableClause, newer_by: str, than: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the row that is there is the older one; a row without a version is."""
    return or_(into.c[newer_by].is_(None), into.c[newer_by] < than)


def _insert_or_update(
    connection: Connection, into: TableClause, row: Row, key: Sequence[str], newer_by: str | None
) -> int:
    """Where a conflict cannot be named: a duplicate that has not this key is another key's, and an error."""
    try:
        with connection.begin_nested():
            connection.execute(insert(into), row)
    except IntegrityError:
        if len(row) > len(key) and connection.execute(_update(into, row, key, newer_by)).rowcount:
            return 1
        there = select(1).select_from(into).where(*(into.c[name] == row[name] for name in key))
        if connection.scalar(there.with_for_update()) is None:
            raise
        return 0
    return 1


def _update(into: TableClause, row: Row, key: Sequence[str], newer_by: str | None) -> Update:
    statement = update(into).where(*(into.c[name] == row[name] for name in key))
    if newer_by is not None:
        statement = statement.where(_older(into, newer_by, bindparam(None, row[newer_by])))
    return statement.values({name: value for name, value in row.items() if name not in key})


def _check_that_it_is_a_key(connection: Connection, into: TableClause, key: Sequence[str]) -> None:
    """Without a unique constraint on exactly these columns, inserting first would never meet the row that is there."""
    known = connection.info.setdefault(_KEYS, set())
    if (found := (into.schema, into.name, frozenset(key))) in known:
        return
    inspector = inspect(connection)
    keys: list[Sequence[str | None]] = [
        inspector.get_pk_constraint(into.name, into.schema)["constrained_columns"],
        *(one["column_names"] for one in inspector.get_unique_constraints(into.name, into.schema)),
        *(one["column_names"] for one in inspector.get_indexes(into.name, into.schema) if one["unique"]),
    ]
    if not any(set(columns) == set(key) for columns in keys):
        raise ValueError(f"{into.name} has no primary key or unique constraint on exactly {', '.join(key)}")
    known.add(found)
