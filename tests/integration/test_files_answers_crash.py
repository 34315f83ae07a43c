"""Receiving, killed at each of its steps: no reply is lost or made twice, and no file is lost or overwritten.

Run as a program this file is the adaptor that is killed.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk import crashpoints
from adapter_sdk.events import Key
from adapter_sdk.ledger.base import State
from adapter_sdk.settings import LedgerSettings, Settings
from adapter_sdk.testing import AdaptorHarness
from adaptors.files.targets.local import LocalFolder
from tests.answer_files import Marked, Site, Warehouse, confirmations, order, running, wait

ROOT = Path(__file__).parents[2]
ADAPTORS = {"warehouse": Warehouse, "marked": Marked}


class Lasting(AdaptorHarness):
    """A harness whose ledger outlives it."""

    def _load(self) -> Settings:
        settings = super()._load()
        path = settings.family.drop.parent / "ledger"
        return settings.model_copy(update={"ledger": LedgerSettings(path=path)})


def working(adaptor: str, site: Site) -> AbstractContextManager[AdaptorHarness]:
    """The adaptor, of which there are two in a row."""
    return running(ADAPTORS[adaptor], site, harness=Lasting, bad_records="record")


def die_at(step: str, times: int) -> None:
    """Let this process kill itself when it comes, for so many times, to a step in a folder of answers."""
    method, left = getattr(LocalFolder, step), [times]

    def armed(self: LocalFolder, *args: Any, **kwargs: Any) -> Any:
        if "out" in self.path.parts[-2:]:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        return method(self, *args, **kwargs)

    setattr(LocalFolder, step, armed)


def main(adaptor: str, folder: str, step: str, times: str) -> None:
    """Order, have the backend answer, and take the answers until death."""
    site = Site(Path(folder))
    with working(adaptor, site) as harness:
        order(harness, "1", "2")
        if step in crashpoints.POINTS:
            crashpoints.arm(step, int(times))
        else:
            die_at(step, int(times))
        for name, data in DELIVERED[adaptor].items():
            site.deliver(name, data)
        wait(site.done, "it did not come so far")


GOOD = confirmations(("1", 1), ("2", 2))
DELIVERED: dict[str, dict[str, bytes]] = {
    "warehouse": {"CONF1.DAT": GOOD + b"\xc1" * 9},
    "marked": {
        "CONF1.CTL": b"18",
        "CONF1.DAT": GOOD,
        "CONF1.DAT.md5": hashlib.md5(GOOD, usedforsecurity=False).hexdigest().encode(),
    },
}
ERRORS = {"warehouse": ["CONF1-record3.DAT", "CONF1.DAT.report.jsonl"], "marked": []}


@pytest.mark.parametrize(
    ("adaptor", "step", "times"),
    [
        ("warehouse", "answers.completed", 1),
        ("warehouse", "answers.sent", 1),
        ("marked", "answers.sent", 1),
        *(("warehouse", "put", times) for times in (1, 2)),
        *(("warehouse", "move", times) for times in (1, 2, 3)),
        *(("marked", "move", times) for times in (1, 2, 3, 4)),
    ],
)
def test_a_kill_repeats_no_reply_and_loses_no_file(tmp_path: Path, adaptor: str, step: str, times: int) -> None:
    """The next process takes the file away; each event has its one reply, and each file lies where it belongs, once."""
    arguments = [sys.executable, "-m", "tests.integration.test_files_answers_crash", adaptor, str(tmp_path), step]
    killed = subprocess.run([*arguments, str(times)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    site = Site(tmp_path)
    assert site.waiting(), "it was killed after all was done"
    with working(adaptor, site) as harness:
        wait(lambda: not site.waiting(), "the file was not taken away")
        entries = [harness.ledger.get(Key("/test", f"order-{number}")) for number in ("1", "2")]
        assert harness.ledger.counts() == {State.APPLIED: 2}
        again = [reply.data.order_id for reply in harness.replies()]
    assert [len(entry.replies) for entry in entries if entry] == [1, 1]
    assert [json.loads(entry.replies[0].body)["data"]["quantity"] for entry in entries if entry] == [1, 2]
    assert sorted(again) == (["1", "2"] if step == "answers.completed" else [])
    for name, data in DELIVERED[adaptor].items():
        assert (site.answers / "done" / name).read_bytes() == data
    assert (site.done(), site.error()) == (sorted(DELIVERED[adaptor]), ERRORS[adaptor])


if __name__ == "__main__":
    main(*sys.argv[1:])
