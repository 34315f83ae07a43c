"""Rows that are changed by count, written by key, and only if newer; on every database that is tested."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import ColumnClause, DateTime, Engine, Numeric, column, exc, select, text

from adapter_sdk import Refused, TransientError
from adaptors.sql import Connection
from adaptors.sql.connection import make_engine
from adaptors.sql.dialects import dialect_of
from adaptors.sql.transaction import Transaction

_SERVERS = {"postgresql": "fresh_pg_url", "mariadb": "fresh_mariadb_url"}
ARTICLE = (
    "CREATE TABLE article (sku VARCHAR(20), store VARCHAR(20) DEFAULT '', name VARCHAR(40) UNIQUE, price DECIMAL(9, 2),"
    " version INTEGER, PRIMARY KEY (sku, store))"
)
Row = Mapping[str, Any]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database with an empty table: SQLite, PostgreSQL and MariaDB by turns."""
    if request.param == "sqlite":
        engine = make_engine(f"sqlite:///{tmp_path / 'stock.db'}")
    else:
        engine = make_engine(str(request.getfixturevalue(_SERVERS[request.param])))
    with engine.begin() as connection:
        connection.execute(text(ARTICLE))
    yield engine
    engine.dispose()


Handle = Callable[[], AbstractContextManager[Connection]]


@pytest.fixture
def handle(engine: Engine) -> Handle:
    """Each call is the `db` of one handler, whose transaction commits at its end."""

    @contextmanager
    def begin() -> Iterator[Connection]:
        with Transaction(engine, dialect_of(engine), 5).open() as connection:
            yield connection

    return begin


def article(sku: str, name: str | None = None, version: int | None = 1, **more: Any) -> dict[str, Any]:
    """A row."""
    return {"sku": sku, "store": "", "name": name or f"name of {sku}", "version": version, **more}


def articles(engine: Engine) -> list[tuple[str, str, int]]:
    """What is there."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT sku, name, version FROM article ORDER BY sku"))]


KEY = ("sku", "store")


class TestChange:
    def test_the_rows_that_it_has_to_change(self, engine: Engine, handle: Handle) -> None:
        """What changes as many rows as it has to is done; one row is what is expected where nothing is said."""
        with handle() as db:
            db.upsert("article", [article("A"), article("B")], key=KEY)
            db.change(text("UPDATE article SET version = 2 WHERE sku = :sku"), {"sku": "A"})
            db.change(text("UPDATE article SET name = :sku WHERE sku = :sku"), [{"sku": "A"}, {"sku": "B"}], rows=2)
            db.change(text("INSERT INTO article (sku) VALUES ('C')"))
        assert articles(engine) == [("A", "A", 2), ("B", "B", 1), ("C", None, None)]

    def test_a_row_that_has_not_come_yet(self, handle: Handle) -> None:
        """Fewer rows than expected are a failure that may pass, with the statement and without the event's data."""
        with (
            pytest.raises(TransientError, match=r"0 rows changed where it had to be 1 \[UPDATE article") as caught,
            handle() as db,
        ):
            db.change(text("UPDATE article SET version = 2 WHERE sku = :sku"), {"sku": "secret"})
        assert "secret" not in str(caught.value)

    def test_more_rows_than_expected(self, engine: Engine, handle: Handle) -> None:
        """More rows than expected are refused, and nothing of them is changed."""
        with handle() as db:
            db.upsert("article", [article("A"), article("B")], key=KEY)
        with pytest.raises(Refused, match="2 rows changed where it had to be 1"), handle() as db:
            db.change(text("UPDATE article SET version = 7"))
        assert {version for *_, version in articles(engine)} == {1}


class TestUpsert:
    def test_inserting_and_updating(self, engine: Engine, handle: Handle) -> None:
        """A row whose key is not there is inserted, one whose key is there is updated."""
        with handle() as db:
            assert db.upsert("article", article("A"), key=KEY) == 1
            assert db.upsert("article", [article("A", "new", 2), article("B")], key=KEY) == 2
        assert articles(engine) == [("A", "new", 2), ("B", "name of B", 1)]

    def test_another_unique_key_is_never_written_over(self, engine: Engine, handle: Handle) -> None:
        """A row that collides by another unique column is refused by the database, and the other row stays."""
        with handle() as db:
            db.upsert("article", [article("A", "kettle"), article("B", "pot")], key=KEY)
        for row in (article("C", "kettle", 9), article("B", "kettle", 9)):
            with pytest.raises(exc.IntegrityError), handle() as db:
                db.upsert("article", row, key=KEY)
        assert articles(engine) == [("A", "kettle", 1), ("B", "pot", 1)]

    def test_a_transaction_outlives_a_collision(self, engine: Engine, handle: Handle) -> None:
        """A handler that catches the refusal of an upsert in a savepoint goes on in its transaction."""
        with handle() as db:
            db.upsert("article", article("A", "kettle"), key=KEY)
            with pytest.raises(exc.IntegrityError), db.begin_nested():
                db.upsert("article", article("B", "kettle"), key=KEY)
            db.upsert("article", article("B", "pot"), key=KEY)
        assert articles(engine) == [("A", "kettle", 1), ("B", "pot", 1)]

    @pytest.mark.parametrize(("there", "new", "written"), [(1, 2, 1), (2, 2, 0), (3, 2, 0), (None, 2, 1)])
    def test_only_if_newer(self, engine: Engine, handle: Handle, there: int | None, new: int, written: int) -> None:
        """With `newer_by` a row replaces an older one alone; one that is as old, or newer, stays."""
        with handle() as db:
            db.upsert("article", article("A", version=there), key=KEY, newer_by="version") if there else db.execute(
                text("INSERT INTO article (sku, store) VALUES ('A', '')")
            )
            assert db.upsert("article", article("A", "new", new), key=KEY, newer_by="version") == written
        assert (articles(engine)[0][1] == "new") is bool(written)

    def test_newer_by_a_time(self, engine: Engine, handle: Handle) -> None:
        """A time of change tells what is newer as well as a number does."""
        columns: tuple[ColumnClause[Any], ...] = (
            column("sku"),
            column("amount", Numeric(9, 2, asdecimal=False)),
            column("at", DateTime()),
        )
        price = sqlalchemy.table("price", *columns)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE price (sku VARCHAR(20) PRIMARY KEY, amount REAL, at TIMESTAMP NULL)"))
        for hour, written in ((9, 1), (11, 1), (10, 0)):
            row = {"sku": "A", "amount": hour, "at": datetime(2026, 11, 20, hour)}  # noqa: DTZ001 - as the table has it
            with handle() as db:
                assert db.upsert(price, row, key="sku", newer_by="at") == written
        with engine.connect() as connection:
            assert connection.scalar(select(price.c.amount)) == 11

    def test_a_row_that_is_nothing_but_its_key(self, engine: Engine, handle: Handle) -> None:
        """Where there is nothing to update, a row that is there is left alone."""
        with handle() as db:
            assert db.upsert("article", {"sku": "A", "store": ""}, key=KEY) == 1
            assert db.upsert("article", {"sku": "A", "store": ""}, key=KEY) == 0
            assert db.upsert("article", [], key=KEY) == 0
        assert len(articles(engine)) == 1

    def test_a_table_of_ones_own_making(self, engine: Engine, handle: Handle) -> None:
        """A Table, with the types of its columns, is taken as well as a name."""
        table = sqlalchemy.Table("article", sqlalchemy.MetaData(), autoload_with=engine)
        with handle() as db:
            assert db.upsert(table, article("A", price=Decimal("9.90")), key=KEY) == 1
            assert db.scalar(select(table.c.price)) == Decimal("9.90")

    @pytest.mark.parametrize("key", [("sku",), ("version",), ("sku", "store", "name")])
    def test_columns_that_are_no_key(self, engine: Engine, handle: Handle, key: tuple[str, ...]) -> None:
        """Columns without a unique constraint on exactly them are refused, before a second row can come to be."""
        with pytest.raises((ValueError, exc.DatabaseError)), handle() as db:
            db.upsert("article", article("A"), key=key)
        assert articles(engine) == []

    @pytest.mark.parametrize("key", [("sku", "store"), ("name",)])
    def test_every_unique_constraint_is_a_key(self, engine: Engine, handle: Handle, key: tuple[str, ...]) -> None:
        """The primary key is as good as any other unique constraint."""
        with handle() as db:
            db.upsert("article", article("A", "kettle"), key=key)
            db.upsert("article", article("A", "kettle", 2), key=key)
        assert articles(engine) == [("A", "kettle", 2)]

    def test_two_at_once(self, engine: Engine, handle: Handle) -> None:
        """Of two handlers that write the same new row at once the later one updates it."""
        if engine.dialect.name == "sqlite":
            return  # writes for one at a time
        inside = threading.Event()

        def first() -> None:
            with handle() as db:
                db.upsert("article", article("A", version=1), key=KEY, newer_by="version")
                inside.set()
                db.execute(text({"postgresql": "SELECT pg_sleep(0.3)"}.get(db.dialect.name, "SELECT sleep(0.3)")))

        thread = threading.Thread(target=first)
        thread.start()
        assert inside.wait(60)
        with handle() as db:
            assert db.upsert("article", article("A", "second", 2), key=KEY, newer_by="version") == 1
        thread.join(60)
        assert articles(engine) == [("A", "second", 2)]


class TestNames:
    HOSTILE = ('article"; DROP TABLE article; --', "article WHERE 1=1", "a-b", "1a", "", "a.b.c.d", "x`y", "x]y", "é;")

    @pytest.mark.parametrize("name", HOSTILE)
    def test_what_is_no_plain_name_is_refused(self, engine: Engine, handle: Handle, name: str) -> None:
        """Whatever stands where a name belongs, it is a name or a ValueError, and no statement."""
        places: list[tuple[str, Row, Any]] = [
            (name, article("A"), KEY),
            ("article", {**article("A"), name: 1}, KEY),
            ("article", article("A"), name),
        ]
        for table, row, key in places:
            with pytest.raises(ValueError, match=r"name|no |parts"), handle() as db:
                db.upsert(table, row, key=key)
        assert articles(engine) == []

    def test_hostile_values_are_values(self, engine: Engine, handle: Handle) -> None:
        """What an event holds is written as it is, whatever it looks like."""
        hostile = "'; DROP TABLE article; -- \\ \" ` %s %(x)s :x {}"[:40]
        with handle() as db:
            db.upsert("article", article("A", hostile), key=KEY)
        assert articles(engine) == [("A", hostile, 1)]

    def test_names_that_are_words_of_sql(self, engine: Engine, handle: Handle) -> None:
        """A column or table with a name that means something in SQL, or with capitals, is quoted."""
        quote = engine.dialect.identifier_preparer.quote
        with engine.begin() as connection:
            connection.execute(
                text(f"CREATE TABLE {quote('Order')} ({quote('Key')} INTEGER PRIMARY KEY, {quote('select')} INTEGER)")
            )
        with handle() as db:
            db.upsert("Order", {"Key": 1, "select": 2}, key="Key")
            assert db.upsert("Order", {"Key": 1, "select": 3}, key="Key") == 1

    @pytest.mark.parametrize(
        ("rows", "key", "newer_by", "why"),
        [
            ([{"sku": "A"}, {"sku": "B", "name": "b"}], "sku", None, "the same columns"),
            ({"sku": "A"}, ("sku", "store"), None, "the row has no store; it has sku"),
            ({"sku": "A"}, "sku", "version", "the row has no version"),
            ({"sku": "A"}, (), None, "names the columns of its key"),
            ({"sku": "A", "version": None}, "sku", "version", "neither newer nor older"),
        ],
    )
    def test_rows_that_cannot_be_meant(
        self, handle: Handle, rows: Any, key: Any, newer_by: str | None, why: str
    ) -> None:
        """A row without its key or version, and rows of different columns, are a bug that is named."""
        with pytest.raises(ValueError, match=why), handle() as db:
            db.upsert("article", rows, key=key, newer_by=newer_by)
