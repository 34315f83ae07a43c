"""(c): an insert per event, into PostgreSQL and into SQLite."""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import sqlalchemy

from tests.benchmarks.job import Job
from tests.benchmarks.jobs.consume import consume_all
from tests.benchmarks.reservation import COUNT, TABLE
from tests.benchmarks.stage import Stage, TrialFailed
from tests.benchmarks.task import Contender
from tests.benchmarks.watch import Figures
from tests.services import postgresql


def trial(database: str, stage: Stage, job: Job, contender: Contender) -> Figures:
    """Consume into an empty table, and count its rows."""
    with stage.place() as folder, _DATABASES[database](stage, folder) as url:
        engine = sqlalchemy.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(TABLE))
        task = stage.task(job, contender, folder, settings={"ADAPTOR_SQL_URL": url})
        try:
            figures = consume_all(stage, contender, task)
            with engine.connect() as connection:
                rows = connection.scalar(COUNT)
        finally:
            engine.dispose()
        if rows != task.events:
            raise TrialFailed(f"{rows} rows of {task.events} events")
    return figures


@contextmanager
def postgresql_database(stage: Stage, _: Path) -> Iterator[str]:
    """A new database on a server that syncs what it commits."""
    server = postgresql.shared_server(stage.run, postgresql.DURABLE)
    url = postgresql.new_database(server, f"bench_{secrets.token_hex(2)}")
    try:
        yield postgresql.sqlalchemy_url(url)
    finally:
        postgresql.drop_database(server, url)


@contextmanager
def _sqlite(_: Stage, folder: Path) -> Iterator[str]:
    """A new file with a write-ahead log; synchronous is FULL where nobody says otherwise."""
    path = folder / "stock.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    yield f"sqlite:///{path}"


_DATABASES = {"PostgreSQL": postgresql_database, "SQLite": _sqlite}

JOBS = tuple(
    Job(
        key=f"c.{database.lower()}",
        title=f"sql: an insert per event into {database}",
        trial=partial(trial, database),
        full=3_000,
        quick=1_000,
    )
    for database in _DATABASES
)
