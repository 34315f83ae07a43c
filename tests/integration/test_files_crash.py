"""A file drop killed at every step, with a reader that takes files away in between: nothing lost, twice or torn.

Run as a program this file is the driver: it forks a child per step, so that a kill costs milliseconds.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk import Event, EventData, handles
from adapter_sdk.family import Applied, Claim
from adapter_sdk.ledger.base import ClaimRequest, Record, State, Verdict
from adapter_sdk.ledger.sqlite import SqliteDatabase
from adapter_sdk.ledger.store import SqlLedger
from adaptors.files import Drop, FileDropAdaptor, Marker
from adaptors.files.settings import FileSettings
from adaptors.files.targets.local import LocalFolder

EVENTS = 2
KILLED = 137


class Placed(EventData, type="placed"):
    number: int


class Plain(FileDropAdaptor):
    """One file per event."""

    name = "plain"
    file_name = "{sequence:03d}.DAT"

    @handles
    def place(self, event: Event[Placed], drop: Drop) -> None:
        """The content says which event it is for."""
        drop.write_bytes(b"content of %d" % event.data.number)


class Marked(Plain):
    """One file and one marker per event."""

    name = "marked"
    marker = "{stem}.OK"


class Controlled(Plain):
    """A control file before each file, whose name and length it tells, and a checksum after it."""

    name = "controlled"
    marker = (Marker("{stem}.CTL", "{name} {size}", before=True), Marker("{name}.crc", "{crc32}"))


class Numbered(Plain):
    """The file tells its own number."""

    name = "numbered"

    @handles
    def place(self, event: Event[Placed], drop: Drop) -> None:
        """The number is taken before there is anything to stage."""
        drop.write_bytes(b"%03d|content of %d" % (drop.number, event.data.number))


BESIDE: dict[type[FileDropAdaptor], list[str]] = {
    Plain: [],
    Marked: [".OK"],
    Controlled: [".CTL", ".DAT.crc"],
    Numbered: [],
}


def work(adaptor: type[FileDropAdaptor], folder: Path) -> None:
    """What a process does with two events that it was given: claim, apply, record."""
    ledger = SqlLedger(SqliteDatabase(folder / "ledger"), adaptor.name)
    ledger.open()
    family = adaptor._family(FileSettings(drop=folder / "in"))
    family.bind(adaptor())
    family.open()
    events = [Event(source="s", id=str(n), type="placed", data=Placed(number=n)) for n in range(EVENTS)]
    requests = [ClaimRequest(key=event.key, digest="0" * 64, type="placed") for event in events]
    claims = [
        Claim(
            event=event,
            handler=adaptor._handlers["placed"],
            token=entry.token,
            again=entry.attempts > 1,
            evidence=entry.evidence,
            replies=entry.replies,
            seal=lambda data: (),
        )
        for event, (verdict, entry) in zip(events, ledger.claim(requests, 0.0), strict=True)
        if verdict is Verdict.GRANTED
    ]
    outcomes = family.apply(claims, ledger)
    if any(not isinstance(outcome, Applied) for outcome in outcomes):
        raise AssertionError(outcomes)
    ledger.record([Record(key=claim.key, token=claim.token, state=State.APPLIED) for claim in claims], 0.0)
    ledger.close()


def killed_at(step: int, task: Callable[[], None]) -> bool:
    """Run `task` in a child that dies without a goodbye before its native step of that number; whether it did."""
    child = os.fork()
    if child == 0:
        try:
            _die_at(step)
            task()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001  # a forked child must not return into the driver
            sys.stderr.write(f"step {step}: {error!r}\n")
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, KILLED):
        raise AssertionError(f"step {step}: the child ended with {status}")
    return status == KILLED


def _die_at(step: int) -> None:
    left = iter(range(step - 1, -1, -1))

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def count_and_call(*arguments: Any, **named: Any) -> Any:
            if next(left, 1) == 0:
                os._exit(KILLED)
            return call(*arguments, **named)

        return count_and_call

    os.fsync = counted(os.fsync)
    os.write = counted(os.write)
    for name in ("create", "move", "remove"):
        setattr(LocalFolder, name, counted(getattr(LocalFolder, name)))
    transaction = SqliteDatabase.transaction

    @contextmanager
    def counted_commit(self: SqliteDatabase, **named: Any) -> Iterator[Any]:
        with transaction(self, **named) as rows:
            yield rows
            counted(lambda: None)()  # before the commit; the next step comes after it

    SqliteDatabase.transaction = counted_commit  # type: ignore[method-assign]


def take(folder: Path, taken: list[tuple[str, str]], markers: list[str]) -> None:
    """The legacy system: takes away each file that has all of its markers, and them too."""
    for file in sorted((folder / "in").glob("*.DAT")):
        beside = [file.with_suffix(marker) for marker in markers]
        if all(marker.exists() for marker in beside):
            number, found, content = file.read_text().rpartition("|")
            if found and number != file.stem:
                raise AssertionError(f"{file} says that it is {number}")
            taken.append((file.name, content))
            if ".CTL" in markers and beside[0].read_text() != f"{file.name} {file.stat().st_size}":
                raise AssertionError(f"{beside[0]} says {beside[0].read_text()}")
            for one in (file, *beside):
                one.unlink()


def drive(adaptor: type[FileDropAdaptor], path: Path) -> dict[str, Any]:
    """Kill at each step in turn, let the reader come, finish in a fresh process; what the reader took each time."""
    results = []
    step = 0
    while True:
        step += 1
        folder = path / str(step)
        (folder / "in").mkdir(parents=True)
        taken: list[tuple[str, str]] = []
        killed = killed_at(step, lambda: work(adaptor, folder))  # noqa: B023  # called within this turn of the loop
        take(folder, taken, BESIDE[adaptor])
        killed_at(10**9, lambda: work(adaptor, folder))  # noqa: B023  # as above
        take(folder, taken, BESIDE[adaptor])
        left = [file.name for file in (folder / "in").iterdir()]
        left += [f.name for f in (folder / ".in.staging").iterdir() if not f.name.endswith(".w")]
        results.append({"taken": taken, "left": left})
        if not killed:
            return {"steps": step - 1, "results": results}


@pytest.mark.parametrize("adaptor", [Plain, Marked, Controlled, Numbered])
def test_a_kill_at_any_step_neither_loses_nor_repeats_nor_tears_a_file(
    adaptor: type[FileDropAdaptor], tmp_path: Path
) -> None:
    """Killed before each write, sync, rename and commit in turn: each event's file is taken once, whole, numbered."""
    command = [sys.executable, "-m", "tests.integration.test_files_crash", adaptor.__name__, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report["steps"] > 15
    for number, result in enumerate(report["results"], 1):
        assert sorted(content for _, content in result["taken"]) == ["content of 0", "content of 1"], f"step {number}"
        assert sorted(name for name, _ in result["taken"]) == ["001.DAT", "002.DAT"], f"step {number}"
        assert result["left"] == ["staging.id"], f"step {number}"


if __name__ == "__main__":
    report = drive({adaptor.__name__: adaptor for adaptor in BESIDE}[sys.argv[1]], Path(sys.argv[2]))
    sys.stdout.write(json.dumps(report))
