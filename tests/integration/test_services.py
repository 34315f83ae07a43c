"""The services of the tests are real, private to the run, and leave nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker
from sqlalchemy import create_engine, text

from tests.services import free_port, wait_until
from tests.services.missing import Missing, skip_or_fail
from tests.services.rabbitmq import Broker, Node, shared_broker
from tests.services.run import Run
from tests.services.supervised import StartFailed, Supervised

QUORUM = {"x-queue-type": "quorum"}


def test_rabbitmq_carries_a_message_through_a_quorum_queue(amqp_url: str) -> None:
    """What is published with a confirm to a quorum queue of the worker's virtual host comes out of it again."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("services", durable=True, arguments=QUORUM)
        channel.basic_publish("", "services", b"one event")
        got = wait_until(lambda: [body for body in [channel.basic_get("services", auto_ack=True)[2]] if body])
        channel.queue_delete("services")
    assert got == [b"one event"]


def test_a_fresh_virtual_host_does_not_see_the_queues_of_another(rabbitmq: Broker, fresh_rabbitmq: Broker) -> None:
    """A queue declared on the worker's virtual host is unknown on a fresh one."""
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        connection.channel().queue_declare("elsewhere", exclusive=True)
        with pika.BlockingConnection(pika.URLParameters(fresh_rabbitmq.url)) as other:
            channel = other.channel()
            with pytest.raises(ChannelClosedByBroker, match="no queue 'elsewhere'"):
                channel.queue_declare("elsewhere", passive=True)


def test_connections_can_be_closed_as_an_operator_would(fresh_rabbitmq: Broker) -> None:
    """`close_connections` closes the clients of its own virtual host, who are told the reason."""
    connection = pika.BlockingConnection(pika.URLParameters(fresh_rabbitmq.url))
    assert wait_until(lambda: fresh_rabbitmq.close_connections("maintenance")) == 1
    with pytest.raises(ConnectionClosedByBroker, match="maintenance"):
        connection.process_data_events(time_limit=5)


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_node_of_ones_own_keeps_its_messages_through_a_kill(own_rabbitmq: Node, queue_type: str) -> None:
    """A persistent message in a durable queue survives SIGKILL of the whole node, both just made."""
    parameters = pika.URLParameters(own_rabbitmq.broker.url)
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True, arguments={"x-queue-type": queue_type})
        channel.basic_publish("", "kept", b"still here", pika.BasicProperties(delivery_mode=2))
    own_rabbitmq.kill()
    own_rabbitmq.start()
    with pika.BlockingConnection(parameters) as connection:
        assert connection.channel().basic_get("kept", auto_ack=True)[2] == b"still here"


def test_postgresql_answers(pg_url: str) -> None:
    """The worker's database is a real PostgreSQL that speaks UTF-8."""
    engine = create_engine(pg_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1, current_setting('server_encoding')")).one() == (1, "UTF8")
    engine.dispose()


def test_a_fresh_schema_does_not_see_the_tables_of_the_database(pg_url: str, fresh_pg_url: str) -> None:
    """A table made in the worker's database is unknown in a fresh schema, and the other way round."""
    shared, fresh = create_engine(pg_url), create_engine(fresh_pg_url)
    with shared.connect() as one, fresh.connect() as other:
        one.execute(text("CREATE TABLE of_the_worker (id int)"))
        one.commit()
        other.execute(text("CREATE TABLE of_the_test (id int)"))
        other.commit()
        tables = text("SELECT to_regclass('of_the_worker') IS NOT NULL, to_regclass('of_the_test') IS NOT NULL")
        assert (one.execute(tables).one(), other.execute(tables).one()) == ((True, False), (False, True))
        one.execute(text("DROP TABLE of_the_worker"))
        one.commit()
    shared.dispose()
    fresh.dispose()


def test_php_serves_a_script_that_has_soap(php_soap_server: Callable[..., str], tmp_path: Path) -> None:
    """The script answers every path, sees the environment it was given, and has PHP's SoapServer."""
    router = tmp_path / "router.php"
    router.write_text('<?php echo getenv("GREETING"), " ", class_exists("SoapServer") ? "soap" : "no soap";')
    with urlopen(php_soap_server(router, GREETING="hello") + "any/path", timeout=5) as answer:
        assert answer.read() == b"hello soap"


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_missing_service_skips_or_where_required_fails(
    required: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests without their service are skipped, or fail with REQUIRE_REAL_SERVICES=1; both say what to do."""
    monkeypatch.setenv("REQUIRE_REAL_SERVICES", required)
    with pytest.raises(outcome, match="apt-get install postgresql, or set TEST_PG_URL"):
        skip_or_fail(Missing("PostgreSQL", "postgresql", "TEST_PG_URL"))


SLEEPER = """
import os, sys
from pathlib import Path
from tests.services.supervised import Supervised
server = Supervised("sleeper", Path(sys.argv[1]))
server.start(["/bin/sh", "-c", "sleep 600 & echo $! $$ > pids; wait"], environment=dict(os.environ))
pids = server.directory / "pids"
server.wait_ready(lambda: pids.exists() and pids.read_text().endswith("\\n"))
print(server.directory, pids.read_text(), flush=True)
sys.stdin.read()
"""


def test_a_killed_run_leaves_no_server_and_no_folder_behind(tmp_path: Path) -> None:
    """After SIGKILL of the process that started it, a server, its children and its folder go within seconds."""
    starter = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, str(tmp_path / "log")],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    folder, *pids = starter.stdout.readline().split()
    assert len(pids) == 2
    assert all(_lives(int(pid)) for pid in pids)
    starter.send_signal(signal.SIGKILL)
    starter.communicate()
    wait_until(lambda: not any(_lives(int(pid)) for pid in pids) and not Path(folder).exists())


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """A server that exits raises StartFailed with the end of its log, and its folder is removed."""
    log = tmp_path / "log"
    server = Supervised("broken", log)
    server.start(["/bin/sh", "-c", "echo out of paper; exit 3"], environment={})
    with pytest.raises(StartFailed, match="out of paper"):
        server.wait_ready(lambda: False, timeout=10)
    assert not server.directory.exists()


def test_a_given_broker_without_management_is_refused_with_what_to_do(
    service_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TEST_AMQP_URL needs the management API; without it the message names TEST_MANAGEMENT_URL."""
    port = free_port()
    monkeypatch.setenv("TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5/")
    monkeypatch.setenv("TEST_MANAGEMENT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(StartFailed, match="set TEST_MANAGEMENT_URL"):
        shared_broker(service_run)


def test_a_given_broker_is_used(rabbitmq: Broker, service_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TEST_AMQP_URL set no node is started: that broker gets the virtual hosts, with its own user and password."""
    monkeypatch.setenv("TEST_AMQP_URL", rabbitmq.url)
    monkeypatch.setenv("TEST_MANAGEMENT_URL", rabbitmq.management_url + "/")
    given = shared_broker(service_run)
    vhost = given.new_vhost("given")
    assert urlsplit(vhost.url).netloc == urlsplit(rabbitmq.url).netloc
    vhost.delete_vhost()


def _lives(pid: int) -> bool:
    """Whether process `pid` runs; one that has exited and waits for its parent to notice does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
