"""PostgreSQL for the tests: one private server a run, a database a worker, a schema a test."""

import os
import pwd
import secrets
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psycopg
from psycopg import sql

from tests.services.missing import Missing
from tests.services.ports import free_port
from tests.services.run import Run
from tests.services.supervised import Supervised, start_on_free_ports

_DEBIAN = Path("/usr/lib/postgresql")

# Nothing here has to survive a power failure: without syncing, the tests run several times faster.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}

DURABLE = {"listen_addresses": "127.0.0.1", "max_connections": "200"}
"""As in production, where a commit costs what it costs: for benchmarks."""


def find() -> Path:
    """The folder of the newest installed server's programs. Raises Missing."""
    versions = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("postgres")
    if not found:
        raise Missing("PostgreSQL", "postgresql", "TEST_PG_URL")
    return Path(found).resolve().parent


def shared_server(run: Run, settings: Mapping[str, str] = _SETTINGS) -> str:
    """The libpq URL of the run's server: TEST_PG_URL, or a private server that all workers share. Raises Missing."""
    given = os.environ.get("TEST_PG_URL")
    if given:
        return urlsplit(given)._replace(scheme="postgresql").geturl()
    find()
    return run.once("postgresql", lambda: {"url": start_on_free_ports(lambda: _start(run, settings))})["url"]


def new_database(server: str, name: str) -> str:
    """Creates an empty database on `server` and returns its libpq URL; `name` is made unique. Up to 250 ms."""
    database = f"test_{name}_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    return urlsplit(server)._replace(path=f"/{database}").geturl()


def drop_database(server: str, url: str) -> None:
    """Drops the database of `url`, with the connections that are still open to it."""
    database = sql.Identifier(urlsplit(url).path.removeprefix("/"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))


def new_schema(database: str) -> str:
    """Creates an empty schema and returns a libpq URL whose connections see that schema alone. About 10 ms."""
    schema = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    return f"{database}?{urlencode({'options': f'-csearch_path={schema}'})}"


def sqlalchemy_url(url: str) -> str:
    """`url` as SQLAlchemy wants it, with psycopg as the driver."""
    return urlsplit(url)._replace(scheme="postgresql+psycopg").geturl()


_kept: list[Supervised] = []
"""Keeps the run's server referenced until this process ends: its supervisor ends it with the run."""


def _start(run: Run, settings: Mapping[str, str]) -> str:
    server = Supervised("postgresql", run.log("postgresql"), watch=run.controller, user=_user())
    port = free_port()
    url = f"postgresql://tester@127.0.0.1:{port}/postgres"
    _launch(server, find(), port, settings)
    server.wait_ready(lambda: _answers(url))
    _kept.append(server)
    return url


def _launch(server: Supervised, programs: Path, port: int, settings: Mapping[str, str]) -> None:
    data = "data"  # below the private directory, where both programs are started
    initdb = [str(programs / "initdb"), "-D", data, "-U", "tester", "-A", "trust", "-N", "-E", "UTF8"]
    options = [f"--{name}={value}" for name, value in settings.items()]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    server.start(
        [str(programs / "postgres"), "-D", data, "-p", str(port), "-k", str(server.directory), *options],
        prepare=[[*initdb, "--locale=C.UTF-8"]],
        environment=environment | {"HOME": str(server.directory)},
        end_signal=signal.SIGQUIT,  # at once, and yet shared memory is given back
    )


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _user() -> str | None:
    """PostgreSQL refuses to run as root: somebody without rights is found for it."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name for account in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
