"""Many rows of the ledger in few statements, on a real SQLite."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from adapter_sdk.ledger import schema
from adapter_sdk.ledger.pieces import in_pieces

ADD = "INSERT INTO stock (sku, left, note) VALUES (:sku, :left, :note) ON CONFLICT DO NOTHING"
TAKE = "UPDATE stock SET left = left - :taken, note = COALESCE(:note, note) WHERE sku = :sku AND left >= :taken"
ROWS = [{"sku": f"k{number}", "left": number, "note": "new"} for number in range(45)]


@pytest.fixture
def stock() -> Iterator[sqlite3.Connection]:
    """A table of 45 rows: the number in its key is what is left of each."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE stock (sku TEXT PRIMARY KEY, left INTEGER, note TEXT)")
        assert sum(connection.execute(*piece).rowcount for piece in in_pieces(ADD, ROWS)) == 45
        yield connection


def test_rows_are_inserted_as_they_are_given(stock: sqlite3.Connection) -> None:
    """Each row has its own values, and those that all have in common."""
    found = stock.execute("SELECT sku, left, note FROM stock ORDER BY left").fetchall()
    assert found == [tuple(row.values()) for row in ROWS]


def test_what_is_there_is_passed_over_and_not_counted(stock: sqlite3.Connection) -> None:
    """Of rows of which some are there, the others are inserted and counted."""
    rows = [*ROWS[:20], {"sku": "new", "left": 1, "note": "x"}, *ROWS[20:]]
    assert sum(stock.execute(*piece).rowcount for piece in in_pieces(ADD, rows)) == 1


def test_each_row_is_changed_by_its_own_values(stock: sqlite3.Connection) -> None:
    """Rows that the condition leaves out are not changed and not counted."""
    orders = [{"sku": row["sku"], "taken": 20, "note": row["sku"]} for row in ROWS]
    assert sum(stock.execute(*piece).rowcount for piece in in_pieces(TAKE, orders)) == 25
    found = stock.execute("SELECT left, note FROM stock ORDER BY CAST(substr(sku, 2) AS INTEGER)").fetchall()
    assert found == [(number, "new") if number < 20 else (number - 20, f"k{number}") for number in range(45)]


def test_nothing_is_kept_to_undo_a_statement_by_itself(stock: sqlite3.Connection) -> None:
    """One that fails at its last row leaves those before it to the transaction; else they went to a file."""
    stock.execute("CREATE UNIQUE INDEX once ON stock (left)")
    clash = [{"sku": f"k{number}", "left": 99, "note": f"n{number}"} for number in (1, 2)]
    stock.execute("SAVEPOINT before")
    with pytest.raises(sqlite3.IntegrityError):
        stock.execute(*next(iter(in_pieces("UPDATE stock SET left = :left, note = :note WHERE sku = :sku", clash))))
    assert stock.execute("SELECT note FROM stock WHERE left = 99").fetchall() == [("n1",)]
    stock.execute("ROLLBACK TO before")
    found = stock.execute("SELECT sku, left, note FROM stock ORDER BY left").fetchall()
    assert found == [tuple(row.values()) for row in ROWS]


def test_statements_are_few() -> None:
    """Any number of rows takes statements of six lengths, which the driver keeps prepared."""
    texts = {
        text for count in range(2, 100) for text, _ in in_pieces(ADD, [{**ROWS[0], "sku": n} for n in range(count)])
    }
    assert len(texts) == 6


@pytest.mark.parametrize(("version", "pieces"), [((3, 11, 9), 4), ((3, 12, 3), 0), ((3, 12, 4), 4)])
def test_a_driver_that_warns_of_numbers_gets_none(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], pieces: int
) -> None:
    """Python 3.12 before 3.12.4 takes them for names; there rows go one by one."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", version)
        given = list(in_pieces(ADD, ROWS))
    assert len(given) == pieces


@pytest.mark.parametrize("rows", [ROWS[:1] * 3, [{"sku": "a"}, {"sku": "b"}]], ids=["no row differs", "a deletion"])
def test_statements_of_another_form_are_run_row_by_row(rows: list[dict[str, object]]) -> None:
    """Rows that are all the same, and what neither inserts nor updates, have no form for several rows at once."""
    assert list(in_pieces("DELETE FROM stock WHERE sku = :sku" if len(rows) == 2 else ADD, rows)) == []


@pytest.mark.parametrize("statement", [schema.RECORD, schema.HOLD], ids=["record", "hold"])
def test_each_row_is_looked_up_by_the_primary_key(statement: str) -> None:
    """However many rows a statement changes, it reads no others of the ledger."""
    same = dict.fromkeys(("state", "applied", "unsent", "replies", "reason", "error", "message", "due_at", "attempts"))
    rows = [{**same, "adaptor": "erp", "event_hash": n, "token": "t", "updated_at": 1.0} for n in range(32)]
    ((text, values),) = in_pieces(statement, rows)
    with closing(sqlite3.connect(":memory:")) as connection:
        for created in [*schema.create_statements("BLOB"), *schema.migration_statements(1)]:
            connection.execute(created)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    (look_up,) = [step for step in plan if "adaptor_ledger" in step]
    assert look_up.startswith(
        "SEARCH adaptor_ledger USING INDEX sqlite_autoindex_adaptor_ledger_1 (adaptor=? AND event_hash=?"
    )
