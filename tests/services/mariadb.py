"""MariaDB for the tests: one private server a run, a database a test."""

import os
import secrets
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from tests.services.missing import Missing
from tests.services.ports import free_port
from tests.services.run import Run
from tests.services.supervised import Supervised, start_on_free_ports

# Nothing here has to survive a power failure. The rest is as a server comes, but for the memory that it takes at once.
_SETTINGS = {
    "bind-address": "127.0.0.1",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-flush-method": "nosync",
    "innodb-buffer-pool-size": "32M",
    "character-set-server": "utf8mb4",
}


def find() -> Path:
    """The installed server. Raises Missing."""
    found = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
    if not (found and shutil.which("mariadb-install-db") and shutil.which("my_print_defaults")):
        raise Missing("MariaDB", "mariadb-server-core mariadb-client-core", "TEST_MARIADB_URL")
    return Path(found)


def shared_server(run: Run) -> str:
    """The SQLAlchemy URL of the run's server: TEST_MARIADB_URL, or a private one for all workers. Raises Missing."""
    given = os.environ.get("TEST_MARIADB_URL")
    if given:
        return urlsplit(given)._replace(scheme="mysql+pymysql").geturl()
    find()
    return run.once("mariadb", lambda: {"url": start_on_free_ports(lambda: _start(run))})["url"]


def new_database(server: str) -> str:
    """Creates an empty database on `server` and returns its SQLAlchemy URL. A few ms."""
    database = f"test_{secrets.token_hex(4)}"
    _run(server, f"CREATE DATABASE {database}")
    return urlsplit(server)._replace(path=f"/{database}").geturl()


def drop_database(server: str, url: str) -> None:
    """Drops the database of `url`."""
    _run(server, f"DROP DATABASE {urlsplit(url).path.removeprefix('/')}")


_kept: list[Supervised] = []
"""Keeps the run's server referenced until this process ends: its supervisor ends it with the run."""


def _start(run: Run) -> str:
    # MariaDB refuses to run as root.
    server = Supervised("mariadb", run.log("mariadb"), watch=run.controller, user=None if os.geteuid() else "nobody")
    port = free_port()
    url = f"mysql+pymysql://root@127.0.0.1:{port}/mysql"
    data = ["--no-defaults", f"--datadir={server.directory}/data"]
    install = ["mariadb-install-db", *data, "--auth-root-authentication-method=normal", "--skip-test-db"]
    options = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    server.start(
        [str(find()), *data, f"--port={port}", f"--socket={server.directory}/socket", *options],
        prepare=[install],
        environment={**os.environ, "HOME": str(server.directory)},
    )
    server.wait_ready(lambda: _answers(url))
    _kept.append(server)
    return url


def _answers(url: str) -> bool:
    try:
        _run(url, "SELECT 1")
    except OperationalError:
        return False
    return True


def _run(url: str, statement: str) -> None:
    engine = create_engine(url, connect_args={"connect_timeout": 2})
    try:
        with engine.begin() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()
