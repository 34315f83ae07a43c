"""`adaptor run` as a process: signals, exit status, standby, and what a wrong setting says."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import SECRET, adaptor
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until

ROOT = Path(__file__).parents[2]
_WAITER = """
import time
from pathlib import Path
from adapter_sdk import Adaptor, Event, handles
from tests.command import Placed

class Waiter(Adaptor):
    name = "waiter"

    @handles
    def wait(self, event: Event[Placed]) -> None:
        Path("begun").touch()
        while not Path("go").exists():
            time.sleep(0.02)
        Path("done").touch()
"""


class Process:
    """A running `adaptor run`, with its log in a file."""

    def __init__(self, folder: Path, number: int) -> None:
        self.log = folder / f"run-{number}.log"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-c", "from adapter_sdk.cli import main; main()", "run"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "ADAPTOR_LOG_FORMAT": "json"},
                stderr=log,
            )

    def says(self, part: str) -> "Process":
        """Wait until this is in the log."""
        wait_until(lambda: part in self.log.read_text())
        return self

    def signalled(self, number: int) -> "Process":
        """Send a signal."""
        self.popen.send_signal(number)
        return self

    def status(self) -> int:
        """The exit status, within 10 seconds."""
        return self.popen.wait(60)


@pytest.fixture
def run(fresh_rabbitmq: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Process]]:
    """Starts the waiter of the current folder; kills what still runs at the end."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "waiter_in_a_process.py").write_text(_WAITER)
    (tmp_path / "adaptor.toml").write_text(
        f'[adaptor]\napp = "waiter_in_a_process:Waiter"\n[broker]\nurl = "{fresh_rabbitmq.url}"\n'
        "[runner]\ndrain_timeout = 30\n"
    )
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(tmp_path, len(started)))
        return started[-1]

    yield start
    for process in started:
        process.popen.kill()
        process.popen.wait()


def begin_one() -> None:
    """An event whose handler has begun, and ends when the file `go` is there."""
    adaptor("publish", "--type", "shop.placed", "--data", '{"order_id": "a"}')
    wait_until(Path("begun").exists)


def test_sigterm_ends_it_when_its_work_is_done(run: Callable[[], Process]) -> None:
    """The running handler ends, its event is applied, and the status is 0."""
    process = run().says('"consuming"')
    begin_one()
    process.signalled(signal.SIGTERM).says('"stopping"')
    assert process.popen.poll() is None
    Path("go").touch()
    assert process.status() == 0
    assert Path("done").exists()
    assert '"applied"' in process.log.read_text()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_it_at_once(run: Callable[[], Process], number: int, status: int) -> None:
    """The handler is not waited for, and the status tells the signal."""
    process = run().says('"consuming"')
    begin_one()
    process.signalled(number).says('"stopping"').signalled(number)
    assert process.status() == status
    assert not Path("done").exists()


def test_a_second_process_is_a_standby(run: Callable[[], Process]) -> None:
    """It waits while another has the local ledger, takes over when that one is killed, and can be stopped meanwhile."""
    first = run().says('"consuming"')
    second, third = run(), run()
    assert third.says('"standby"').signalled(signal.SIGTERM).status() == 0
    second.says('"standby"')
    first.signalled(signal.SIGKILL).status()
    second.says('"consuming"').signalled(signal.SIGTERM)
    assert second.status() == 0


def test_wrong_settings_end_it_with_status_3(run: Callable[[], Process]) -> None:
    """Every fault is said in one line each; no secret and no traceback is."""
    Path("adaptor.toml").write_text(
        f'[adaptor]\napp = "waiter_in_a_process:Waiter"\n[broker]\nurl = "http://ann:{SECRET}@127.0.0.1/"\n'
        "prefetch = 0\n[runner]\nconcurrency = 0\n"
    )
    process = run()
    assert process.status() == 3
    said = process.log.read_text()
    assert [line.split(": ")[0] for line in said.splitlines()] == ["error"] * len(said.splitlines())
    assert "[broker] prefetch" in said
    assert "[runner] concurrency" in said
    assert SECRET not in said
