"""Fixtures for real services. Each is started when the first test asks for it, and skips that test where it is missing.

With REQUIRE_REAL_SERVICES=1, as `make test` and CI set it, a missing service fails the test instead.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from tests.services import mariadb, php, postgresql
from tests.services.missing import Missing, skip_or_fail
from tests.services.rabbitmq import Broker, Node, shared_broker
from tests.services.run import Run
from tests.services.supervised import Supervised, start_on_free_ports

# How long an example takes tells of the machine, and nothing of the claim.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives all tests that break a broker to one worker: a node of its own is started once, not once a worker."""
    for item in items:
        if "own_rabbitmq" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("own_rabbitmq"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Ends every run of the conformance suite with the table of what each transport supports."""
    # Imported late: tests/conformance has its assertions rewritten before anybody imports the suite.
    from adapter_sdk.testing.conformance import table

    table.pytest_terminal_summary(terminalreporter)


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """What a test does to the logs of its process ends with it."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    yield
    structlog.configure(**before)
    root.handlers, root.level = handlers, level


@pytest.fixture(scope="session")
def service_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What the workers of this run share."""
    return Run.of(request.config, tmp_path_factory)


@pytest.fixture(scope="session")
def _rabbitmq_server(service_run: Run) -> Broker:
    """The RabbitMQ that all workers of the run share, by its default virtual host."""
    try:
        return shared_broker(service_run)
    except Missing as missing:
        skip_or_fail(missing)


@pytest.fixture(scope="session")
def rabbitmq(_rabbitmq_server: Broker, service_run: Run) -> Iterator[Broker]:
    """The worker's own virtual host on a real RabbitMQ; its tests share it, so they name their queues apart."""
    broker = _rabbitmq_server.new_vhost(service_run.worker)
    yield broker
    broker.delete_vhost()


@pytest.fixture(scope="session")
def amqp_url(rabbitmq: Broker) -> str:
    """The AMQP URL of this worker's virtual host."""
    return rabbitmq.url


@pytest.fixture
def fresh_rabbitmq(_rabbitmq_server: Broker) -> Iterator[Broker]:
    """An empty virtual host for this test alone: about 40 ms."""
    broker = _rabbitmq_server.new_vhost("fresh")
    yield broker
    broker.delete_vhost()


@pytest.fixture(scope="session")
def _own_nodes() -> Iterator[list[Node]]:
    """Holds the node of `own_rabbitmq`, once the first test has asked for it."""
    nodes: list[Node] = []
    yield nodes
    for node in nodes:
        node.end()


@pytest.fixture
def own_rabbitmq(service_run: Run, _own_nodes: list[Node]) -> Node:
    """A RabbitMQ node that this test may kill and restart; `broker` is an empty virtual host. Slow: for few tests."""
    if not _own_nodes:
        try:
            _own_nodes.append(start_on_free_ports(lambda: Node(service_run, "own-rabbitmq")))
        except Missing as missing:
            skip_or_fail(missing)
    node = _own_nodes[0]
    node.renew()
    return node


@pytest.fixture(scope="session")
def _pg_server(service_run: Run) -> str:
    """The libpq URL of the PostgreSQL that all workers of the run share."""
    try:
        return postgresql.shared_server(service_run)
    except Missing as missing:
        skip_or_fail(missing)


@pytest.fixture(scope="session")
def _pg_database(_pg_server: str, service_run: Run) -> Iterator[str]:
    """The libpq URL of this worker's own database."""
    database = postgresql.new_database(_pg_server, service_run.worker)
    yield database
    postgresql.drop_database(_pg_server, database)


@pytest.fixture(scope="session")
def pg_url(_pg_database: str) -> str:
    """The SQLAlchemy URL of this worker's own database on a real PostgreSQL; its tests share it."""
    return postgresql.sqlalchemy_url(_pg_database)


@pytest.fixture
def fresh_pg_url(_pg_database: str) -> str:
    """The SQLAlchemy URL of an empty schema for this test alone, the only one on its search path: about 10 ms."""
    return postgresql.sqlalchemy_url(postgresql.new_schema(_pg_database))


@pytest.fixture(scope="session")
def _mariadb_server(service_run: Run) -> str:
    """The SQLAlchemy URL of the MariaDB that all workers of the run share."""
    try:
        return mariadb.shared_server(service_run)
    except Missing as missing:
        skip_or_fail(missing)


@pytest.fixture
def fresh_mariadb_url(_mariadb_server: str) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database on a real MariaDB, for this test alone: about 10 ms."""
    url = mariadb.new_database(_mariadb_server)
    yield url
    mariadb.drop_database(_mariadb_server, url)


@pytest.fixture
def php_soap_server(service_run: Run) -> Iterator[Callable[..., str]]:
    """Call it with a PHP script, and environment variables as keywords: the script serves every request to that URL."""
    servers: list[Supervised] = []

    def start(router: Path, **environment: str) -> str:
        try:
            server, url = php.start(service_run, router, environment)
        except Missing as missing:
            skip_or_fail(missing)
        servers.append(server)
        return url

    yield start
    for server in servers:
        server.end()
