"""`adaptor run --processes`: several processes share the work, are watched, and stop together."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter_sdk import Event
from adapter_sdk.envelopes import write_structured
from adapter_sdk.transport.base import Confirm
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from tests.command import Placed, adaptor
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until

ROOT = Path(__file__).parents[2]
_WRITER = """
import os, time
from pathlib import Path
from adapter_sdk import Adaptor, Event, handles
from tests.command import Placed

class Writer(Adaptor):
    name = "writer"

    @handles
    def write(self, event: Event[Placed]) -> None:
        time.sleep(0.02)
        Path(f"{event.id}.done").write_text(str(os.getpid()))
"""


class Run:
    """`adaptor run --processes 2` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "run.log"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-c", "from adapter_sdk.cli import main; main()", "run", "--processes", "2"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "ADAPTOR_LOG_FORMAT": "json"},
                stderr=log,
            )

    def consuming(self) -> int:
        """How often a process has begun to consume."""
        return self.log.read_text().count('"state": "consuming"')

    def workers(self) -> set[int]:
        """The processes that have written a file."""
        return {int(text) for path in self.folder.glob("*.done") if (text := path.read_text())}


@pytest.fixture
def folder(fresh_rabbitmq: Broker, tmp_path: Path) -> Path:
    """A folder with the writer and its settings, except for the ledger."""
    (tmp_path / "writer_in_a_process.py").write_text(_WRITER)
    (tmp_path / "adaptor.toml").write_text(
        f'[adaptor]\napp = "writer_in_a_process:Writer"\n[broker]\nurl = "{fresh_rabbitmq.url}"\nprefetch = 10\n'
    )
    return tmp_path


@pytest.fixture
def run(folder: Path, fresh_pg_url: str) -> Iterator[Run]:
    """Two processes that consume, with a ledger that they share."""
    with (folder / "adaptor.toml").open("a") as settings:
        settings.write(f'[ledger]\nurl = "{fresh_pg_url}"\n')
    command = [sys.executable, "-c", "from adapter_sdk.cli import main; main()", "sql", "install"]
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    started = Run(folder)
    wait_until(lambda: started.consuming() == 2)
    yield started
    started.popen.kill()
    started.popen.wait()


def publish(broker: Broker, *ids: str) -> None:
    """Events for the writer."""
    transport = RabbitMQTransport(broker.url)
    transport.open()
    events = [Event(source="/shop", id=each, type="shop.placed", data=Placed(order_id=each)) for each in ids]
    assert set(transport.publish([write_structured(event, "events") for event in events])) == {Confirm.CONFIRMED}
    transport.close()


def test_both_work_and_both_stop(run: Run, fresh_rabbitmq: Broker) -> None:
    """Events are shared out among two processes; SIGTERM ends both in good order, and the exit status is 0."""
    ids = [f"e{number}" for number in range(100)]
    publish(fresh_rabbitmq, *ids)
    wait_until(lambda: len(list(run.folder.glob("*.done"))) == len(ids))
    assert len(run.workers()) == 2
    run.popen.send_signal(signal.SIGTERM)
    assert run.popen.wait(60) == 0
    assert run.log.read_text().count('"state": "stopped"') == 2


def test_one_that_dies_is_started_again(run: Run, fresh_rabbitmq: Broker) -> None:
    """A killed process is told of and replaced; the other has gone on."""
    publish(fresh_rabbitmq, *(f"a{number}" for number in range(40)))
    wait_until(lambda: len(run.workers()) == 2)
    victim = min(run.workers())
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: run.consuming() == 3)
    (line,) = [json.loads(line) for line in run.log.read_text().splitlines() if '"process ended"' in line]
    assert (line["process"], line["status"]) == (victim, -signal.SIGKILL)


def test_processes_need_a_ledger_that_they_share(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a local ledger the second process could only stand by: that is refused, with what to do."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    assert "[ledger] url" in adaptor("run", "--processes", "2", status=3).output
