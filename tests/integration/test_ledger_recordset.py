"""Many rows of the ledger as one JSON value, on a real PostgreSQL."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from adapter_sdk.ledger import schema
from adapter_sdk.ledger.recordset import as_json, over_rows
from adapter_sdk.ledger.shared import SharedDatabase
from adapter_sdk.ledger.store import SqlLedger
from tests.ledger_contract import request

SENT = f"UPDATE adaptor_ledger SET unsent = 0 WHERE {schema.ROW} AND token = :token"


@pytest.fixture
def engine(fresh_pg_url: str) -> Iterator[Engine]:
    """An engine on a schema with an empty ledger."""
    engine = create_engine(fresh_pg_url)
    SqlLedger(SharedDatabase(engine), "erp").install()
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> SqlLedger:
    """A ledger in it."""
    return SqlLedger(SharedDatabase(engine), "erp")


@pytest.mark.parametrize("statement", [schema.RECORD, schema.HOLD, SENT], ids=["record", "hold", "sent"])
@pytest.mark.parametrize("grown", [False, True], ids=["empty", "grown, not analysed"])
def test_each_row_is_looked_up_by_the_primary_key(
    ledger: SqlLedger, engine: Engine, statement: str, grown: bool
) -> None:
    """A plan that was made for an empty table is still right when it has grown."""
    if grown:
        ledger.claim([request(str(number)) for number in range(2000)], 1.0)
    at_once = over_rows(statement)
    values = [{"adaptor": "erp", "event_hash": "0" * 64, "token": "t"}] * 100
    with engine.connect() as connection:
        plan: list[Any] = list(connection.scalars(text(f"EXPLAIN {at_once}"), {"rows": as_json(values)}))
    (condition,) = [line for line in plan if "Index Cond" in line]
    assert "adaptor)::text = (r.p_adaptor)" in condition
    assert "event_hash = r.p_event_hash" in condition


def test_statements_of_another_form_are_run_row_by_row() -> None:
    """Only an INSERT of values and an UPDATE have a form for all rows at once."""
    assert over_rows(f"DELETE FROM adaptor_ledger WHERE {schema.ROW}") is None
