"""What is sent to databases that no test can reach: the form that their drivers document, no proof that it works."""

from types import SimpleNamespace
from typing import Any

import pytest
from pytest_mock import MockerFixture
from sqlalchemy import Connection, Integer
from sqlalchemy.dialects import mssql, oracle

from adapter_sdk import PermanentError
from adaptors.sql import Called, Out
from adaptors.sql.procedures import call


def cursor_of(mocker: MockerFixture, *results: tuple[list[str], list[tuple[Any, ...]]]) -> Any:
    """A DB-API cursor on these result sets, each its column names and rows."""
    left = list(results)
    cursor = mocker.Mock()

    def show() -> None:
        names, rows = left.pop(0)
        cursor.description = [(name,) for name in names]
        cursor.fetchall.return_value = rows

    def nextset() -> bool:
        if left:
            show()
            return True
        return False

    cursor.nextset.side_effect = nextset
    cursor.description = None
    if left:
        show()
    return cursor


def connection_to(mocker: MockerFixture, dialect: Any, cursor: Any, name: str | None = None) -> Any:
    """A connection whose driver answers with that cursor; `name` is what the dialect calls itself."""
    connection = mocker.Mock(spec=Connection)
    connection.dialect = dialect()
    connection.dialect.name = name or connection.dialect.name
    connection.dialect.dbapi = SimpleNamespace(Error=RuntimeError)
    connection.execute.return_value.cursor = cursor
    connection.connection.cursor.return_value = cursor
    return connection


def test_sql_server(mocker: MockerFixture) -> None:
    """What comes out is declared in the batch, and read as its last result set."""
    cursor = cursor_of(mocker, (["sku"], [("POT",)]), (["", "x"], [(7, 8)]))
    connection = connection_to(mocker, mssql.dialect, cursor)
    called = call(connection, "dbo.reserve", ["KETTLE", Out(Integer()), Out(Integer(), 5)])
    assert called == Called((7, 8), ([{"sku": "POT"}],))
    statement, values = connection.execute.call_args.args
    assert str(statement) == (
        "SET NOCOUNT ON; DECLARE @o1 INTEGER = :p1; DECLARE @o2 INTEGER = :p2; "
        "EXEC dbo.reserve :p0, @o1 OUTPUT, @o2 OUTPUT; SELECT @o1 AS o1, @o2 AS o2"
    )
    assert values == {"p0": "KETTLE", "p1": None, "p2": 5}


def test_oracle(mocker: MockerFixture) -> None:
    """What comes out is a variable of the driver, and implicit results are read."""
    cursor = cursor_of(mocker)
    cursor.callproc.return_value = ["KETTLE", 7]
    cursor.getimplicitresults.return_value = [cursor_of(mocker, (["SKU"], [("POT",)]))]
    called = call(connection_to(mocker, oracle.dialect, cursor), "stock.reserve", ["KETTLE", Out(Integer(), 5)])
    assert called == Called((7,), ([{"SKU": "POT"}],))
    cursor.var.assert_called_once_with(int)
    cursor.var.return_value.setvalue.assert_called_once_with(0, 5)
    cursor.callproc.assert_called_once_with("stock.reserve", ["KETTLE", cursor.var.return_value])


def test_db2(mocker: MockerFixture) -> None:
    """The driver gives the arguments back, and the result sets after them."""
    cursor = cursor_of(mocker, (["SKU"], [("POT",)]))
    cursor.callproc.return_value = ("KETTLE", 7)
    called = call(connection_to(mocker, oracle.dialect, cursor, "ibm_db_sa"), "reserve", ["KETTLE", Out()])
    assert called == Called((7,), ([{"SKU": "POT"}],))
    cursor.callproc.assert_called_once_with("reserve", ["KETTLE", None])


def test_a_database_that_nobody_knows(mocker: MockerFixture) -> None:
    """For a dialect without a strategy the error says what to do."""
    with pytest.raises(PermanentError, match="teradatasql cannot be called: write the statement yourself"):
        call(connection_to(mocker, oracle.dialect, None, "teradatasql"), "reserve", [])
