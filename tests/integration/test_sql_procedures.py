"""Stored procedures and functions: in, out, both, result sets, and what they raise; on PostgreSQL and MariaDB."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Integer, Numeric, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from adapter_sdk import InDoubt, PermanentError, Refused
from adapter_sdk.family import Failed
from adaptors.sql import Called, Connection, Out
from adaptors.sql.connection import make_engine
from adaptors.sql.dialects import dialect_of
from adaptors.sql.failures import translate
from adaptors.sql.transaction import Transaction
from tests.journal import NoJournal
from tests.sql_stock import Stock, apply, claims_of, picks, stocked

_PROCEDURES = {
    "postgresql": [
        """CREATE PROCEDURE reserve(sku text, quantity int, OUT remaining int, INOUT price numeric) LANGUAGE plpgsql
           AS $$ BEGIN
             UPDATE stock SET amount = amount - quantity WHERE stock.sku = reserve.sku RETURNING amount INTO remaining;
             price := price * quantity;
           END $$""",
        "CREATE PROCEDURE nothing() LANGUAGE sql AS $$ UPDATE stock SET amount = 0 $$",
        """CREATE PROCEDURE refuse(why text) LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$""",
        "CREATE FUNCTION left_of(a text) RETURNS int LANGUAGE sql AS 'SELECT amount FROM stock WHERE sku = a'",
        """CREATE FUNCTION low(below int) RETURNS TABLE (sku text, amount int) LANGUAGE sql
           AS 'SELECT sku, amount FROM stock WHERE amount < below ORDER BY sku'""",
    ],
    "mysql": [
        """CREATE PROCEDURE reserve(wanted VARCHAR(20), quantity INT, OUT remaining INT, INOUT price DECIMAL(9, 2))
           BEGIN
             UPDATE stock SET amount = amount - quantity WHERE sku = wanted;
             SELECT amount INTO remaining FROM stock WHERE sku = wanted;
             SET price = price * quantity;
           END""",
        "CREATE PROCEDURE nothing() UPDATE stock SET amount = 0",
        "CREATE PROCEDURE refuse(why VARCHAR(20)) SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no', MYSQL_ERRNO = 1644",
        "CREATE FUNCTION left_of(wanted VARCHAR(20)) RETURNS INT RETURN (SELECT amount FROM stock WHERE sku = wanted)",
        """CREATE PROCEDURE low_and_high(below INT, OUT total INT) BEGIN
             SELECT sku, amount FROM stock WHERE amount < below ORDER BY sku;
             SELECT sku FROM stock WHERE amount >= below;
             SELECT SUM(amount) INTO total FROM stock;
           END""",
        """CREATE PROCEDURE shows_and_refuses() BEGIN
             SELECT 1;
             SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no', MYSQL_ERRNO = 1644;
           END""",
    ],
}


def with_procedures(url: str) -> Iterator[Engine]:
    """An engine on a database that has a stock and its procedures."""
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE stock (sku VARCHAR(20), amount INTEGER)"))
        connection.execute(text("INSERT INTO stock VALUES ('KETTLE', 10), ('POT', 2)"))
        for statement in _PROCEDURES[engine.dialect.name]:
            connection.exec_driver_sql(statement)
    yield engine
    engine.dispose()


_SERVERS = {"postgresql": "fresh_pg_url", "mariadb": "fresh_mariadb_url"}


@pytest.fixture(params=["postgresql", "mariadb"])
def db(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """The `db` of a handler: PostgreSQL and MariaDB by turns."""
    for engine in with_procedures(str(request.getfixturevalue(_SERVERS[request.param]))):
        with Transaction(engine, dialect_of(engine), 5).open() as connection:
            yield connection


@pytest.fixture
def on_mariadb(fresh_mariadb_url: str) -> Iterator[Connection]:
    """The `db` of a handler on MariaDB."""
    for engine in with_procedures(fresh_mariadb_url):
        with Transaction(engine, dialect_of(engine), 5).open() as connection:
            yield connection


@pytest.mark.parametrize("kinds", [(None, None), (Integer(), Numeric(9, 2))], ids=["untyped", "typed"])
def test_what_goes_in_and_out(db: Connection, kinds: tuple[Any, Any]) -> None:
    """Arguments go in in their order, and those that come out are given back in theirs, also one that is both."""
    remaining, price = kinds
    called = db.call("reserve", "KETTLE", 3, Out(remaining), Out(price, Decimal("2.50")))
    assert called.out == (7, Decimal("7.50"))
    assert db.scalar(select(func.left_of("KETTLE"))) == 7


def test_a_procedure_that_gives_nothing_back(db: Connection) -> None:
    """Neither arguments nor anything that comes out are needed."""
    assert db.call("nothing") == Called()
    assert db.call("nothing").rows == []
    assert db.scalar(text("SELECT SUM(amount) FROM stock")) == 0


def test_what_a_procedure_refuses(db: Connection) -> None:
    """An error that a procedure raises on purpose is a refusal, with its words."""
    with pytest.raises(SQLAlchemyError) as caught, db.begin_nested():
        db.call("refuse", "sold out")
    meaning = translate(caught.value)
    assert isinstance(meaning, Refused)
    assert "no" in str(meaning)


def test_a_function(db: Connection) -> None:
    """A function is called by a SELECT, on every database alike."""
    assert db.scalar(select(func.left_of("POT"))) == 2


def test_a_function_that_returns_rows(fresh_pg_url: str) -> None:
    """A function of PostgreSQL that returns a table is selected from."""
    for engine in with_procedures(fresh_pg_url):
        with Transaction(engine, dialect_of(engine), 5).open() as db:
            low = func.low(5).table_valued("sku", "amount")
            assert [tuple(row) for row in db.execute(select(low.c.sku, low.c.amount))] == [("POT", 2)]


def test_several_result_sets(on_mariadb: Connection) -> None:
    """Each result set is given back, rows as dicts, and the connection can be used on."""
    called = on_mariadb.call("low_and_high", 5, Out())
    assert called.results == ([{"sku": "POT", "amount": 2}], [{"sku": "KETTLE"}])
    assert called.rows == called.results[0]
    assert called.out == (12,)
    assert on_mariadb.scalar(text("SELECT COUNT(*) FROM stock")) == 2


def test_an_error_after_the_first_result_set(on_mariadb: Connection) -> None:
    """What a procedure raises after it has shown something is a refusal as well."""
    with pytest.raises(SQLAlchemyError) as caught:
        on_mariadb.call("shows_and_refuses")
    assert isinstance(translate(caught.value), Refused)
    assert on_mariadb.scalar(text("SELECT COUNT(*) FROM stock")) == 2


@pytest.mark.parametrize("name", ["reserve(1); DROP TABLE stock; --", "res erve", "`reserve`", "a.b.c.d"])
def test_a_name_is_a_name(db: Connection, name: str) -> None:
    """What is not a plain name is refused before anything is sent."""
    with pytest.raises(ValueError, match=r"name|parts"):
        db.call(name)


def test_sqlite_has_none(tmp_path: Path) -> None:
    """Where there are no procedures the event is a dead letter at once."""
    engine = make_engine(f"sqlite:///{tmp_path / 'stock.db'}")
    with (
        pytest.raises(PermanentError, match="sqlite"),
        Transaction(engine, dialect_of(engine), 5).open() as connection,
    ):
        connection.call("reserve")
    engine.dispose()


def test_a_procedure_that_commits(fresh_mariadb_url: str) -> None:
    """A procedure that commits by itself leaves the event in doubt, also if it is called by `call`."""
    for family in stocked(fresh_mariadb_url):
        with family._engine.begin() as connection:
            connection.exec_driver_sql("CREATE PROCEDURE place() BEGIN COMMIT; SELECT 1; END")
        Stock.hooks = {"a": lambda db: db.call("place")}
        (outcome,) = family.apply(claims_of(family, "a"), NoJournal())
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, InDoubt)
        assert picks(family) == "a"
        assert apply(family, claims_of(family, "b")) == "A"
