"""Answer files on real folders: noticed when whole, completed, and only then taken away."""

import errno
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapter_sdk.answers import Answer, Completion
from adapter_sdk.ledger.base import State
from adapter_sdk.testing import AdaptorHarness
from adaptors.files import Fault, Totals
from adaptors.files.settings import FileSettings
from adaptors.files.targets.local import LocalFolder
from tests.answer_files import (
    Counted,
    Head,
    Marked,
    Picked,
    Site,
    Tail,
    Warehouse,
    confirmations,
    order,
    running,
    wait,
)

BAD = b"\xc1" * 9
"""Nine letters A, of which the last four should be digits."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Empty folders."""
    return Site(tmp_path)


def replies(harness: AdaptorHarness, count: int) -> list[Picked]:
    """The replies of so many orders, by their number."""
    found = [reply.data for reply in harness.replies(count)]
    return sorted(found, key=lambda data: data.order_id)


def report(site: Site, name: str) -> list[Fault]:
    """What a report in error/ says."""
    return list(Fault.decode_all((site.answers / "error" / name).read_bytes()))


def said(lines: list[Any], line: str) -> list[Any]:
    """The log lines of this name."""
    return [one for one in lines if one["event"] == line]


def test_an_answer_file_completes_the_events_that_it_answers(site: Site) -> None:
    """Each reply has its event's correlation, and the file lies in done/ as it came."""
    with running(Warehouse, site) as harness:
        order(harness, "1001", "1002")
        site.deliver("CONF0001.DAT", data := confirmations(("1001", 2), ("1002", 7)))
        assert replies(harness, 2) == [Picked(order_id="1001", quantity=2), Picked(order_id="1002", quantity=7)]
        wait(lambda: not site.waiting(), "the file was not taken away")
    assert (site.answers / "done" / "CONF0001.DAT").read_bytes() == data
    assert site.error() == []


def test_a_file_that_grows_slowly_is_read_once_it_has_stopped(site: Site) -> None:
    """No part of it is taken, though each part is whole records."""
    with running(Warehouse, site) as harness, (site.answers / "CONF1.DAT").open("wb", buffering=0) as file:
        order(harness, "1", "2", "3")
        for number in ("1", "2", "3"):
            file.write(confirmations((number, 1)))
            time.sleep(0.12)  # less than `stable`, and more than two looks
            assert (site.waiting(), site.done()) == (["CONF1.DAT"], [])
        assert len(replies(harness, 3)) == 3
        wait(site.done, "the file was not taken away")
    assert site.error() == []


@pytest.mark.parametrize("name", ["CONF1.DAT.part", ".CONF1.DAT", "CONF1.DAT~", "OTHER1.DAT", "conf1.dat"])
def test_what_is_unfinished_or_of_another_name_is_left_alone(site: Site, name: str) -> None:
    """It lies there still when a later file has been taken."""
    with running(Warehouse, site) as harness:
        order(harness, "1")
        site.deliver(name, confirmations(("1", 9)))
        time.sleep(0.05)
        site.deliver("CONF2.DAT", confirmations(("1", 2)))
        assert replies(harness, 1) == [Picked(order_id="1", quantity=2)]
        wait(site.done, "the file was not taken away")
    assert site.waiting() == [name]


def test_markers_say_when_a_file_is_whole(site: Site) -> None:
    """Not before the last one is there, however long the file rests; they go where it goes."""
    data = confirmations(("1", 2))
    with running(Marked, site) as harness:
        order(harness, "1")
        site.deliver("CONF1.CTL", b"9\r\n")
        site.deliver("CONF1.DAT", data)
        time.sleep(0.4)
        assert site.waiting() == ["CONF1.CTL", "CONF1.DAT"]
        site.deliver("CONF1.DAT.md5", hashlib.md5(data).hexdigest().upper().encode())
        assert replies(harness, 1) == [Picked(order_id="1", quantity=2)]
        wait(lambda: not site.waiting(), "the files were not taken away")
    assert site.done() == ["CONF1.CTL", "CONF1.DAT", "CONF1.DAT.md5"]


def test_a_file_that_is_not_what_its_marker_says_is_a_bad_file(site: Site) -> None:
    """Nothing of it is taken; the report names marker, expectation and what was found."""
    data = confirmations(("1", 2))
    with running(Marked, site) as harness:
        order(harness, "1")
        for name, content in (("CONF1.CTL", b"9"), ("CONF1.DAT", data), ("CONF1.DAT.md5", b"0" * 32)):
            site.deliver(name, content)
        wait(lambda: len(site.error()) == 4, "the file was not set aside")
    [fault] = report(site, "CONF1.DAT.report.jsonl")
    assert (fault.part, fault.file) == ("marker", "CONF1.DAT")
    assert "CONF1.DAT.md5 says b'0000" in fault.error
    assert site.done() == site.waiting() == []


def test_a_bad_record_sets_the_whole_file_aside(site: Site) -> None:
    """The report beside it says record, field, offset, length, hex, what is wrong and what to do."""
    data = confirmations(("1", 1)) + BAD + confirmations(("3", 3))
    with running(Warehouse, site) as harness:
        order(harness, "1", "3")
        site.deliver("CONF1.DAT", data)
        wait(lambda: len(site.error()) == 2, "the file was not set aside")
        [fault] = report(site, "CONF1.DAT.report.jsonl")
        assert (fault.record, fault.field) == (2, "quantity")
        assert (fault.offset, fault.length, fault.hex) == (14, 4, "0xc1c1c1c1")
        assert "Confirmation record 2 (at byte 9), field quantity (offset 5, length 4)" in fault.error
        assert fault.action == (
            f"nothing of CONF1.DAT was taken: mend it and put it back into {site.answers}, or have it sent anew"
        )
        assert (site.answers / "error" / "CONF1.DAT").read_bytes() == data
        (site.answers / "error" / "CONF1.DAT").unlink()
        site.deliver("CONF1.DAT", confirmations(("1", 1), ("3", 3)))
        assert len(replies(harness, 2)) == 2


def test_only_the_bad_record_is_set_aside_where_that_is_set(site: Site) -> None:
    """The others are completed; the bad one lies byte for byte in a file of its own, to be mended and put back."""
    with running(Warehouse, site, bad_records="record") as harness:
        order(harness, "1", "2", "3")
        site.deliver("CONF1.DAT", confirmations(("1", 1)), BAD, confirmations(("3", 3)))
        assert [reply.order_id for reply in replies(harness, 2)] == ["1", "3"]
        wait(site.done, "the file was not taken away")
        assert site.error() == ["CONF1-record2.DAT", "CONF1.DAT.report.jsonl"]
        own = site.answers / "error" / "CONF1-record2.DAT"
        assert own.read_bytes() == BAD
        [fault] = report(site, "CONF1.DAT.report.jsonl")
        assert (fault.file, fault.record, fault.offset) == ("CONF1-record2.DAT", 2, 14)
        own.write_bytes(confirmations(("2", 2)))
        own.rename(site.answers / own.name)
        assert [reply.data.order_id for reply in harness.replies(3)][2:] == ["2"]


def test_header_and_trailer_are_held_against_the_records(site: Site) -> None:
    """A right one is taken; a wrong count, a wrong sum and half a record are bad files, told by name."""
    head, one = Head.encode_all([Head(day="20261121")]), confirmations(("1", 4))

    def tail(records: int, quantity: int) -> bytes:
        return Tail.encode_all([Tail(records=records, quantity=quantity)])

    with running(Counted, site) as harness:
        order(harness, "1")
        site.deliver("CONF1.DAT", head, one, tail(2, 4))
        site.deliver("CONF2.DAT", head, one, tail(1, 5))
        site.deliver("CONF3.DAT", head, one[:-1], tail(1, 4))
        site.deliver("CONF4.DAT", head, BAD, tail(1, 4))
        site.deliver("CONF5.DAT", b"")
        wait(lambda: len(site.error()) == 10, "five files were to be set aside")
        site.deliver("CONF6.DAT", head, one, tail(1, 4))
        assert replies(harness, 1) == [Picked(order_id="1", quantity=4)]
    said = {name[:5]: report(site, name)[0] for name in site.error() if name.endswith("jsonl")}
    assert said["CONF1"].error == "the trailer says records 2, and the records make 1"
    assert said["CONF2"].error == "the trailer says quantity 5, and the records make Decimal('4')"
    assert "the file ends within the record at byte 0" in said["CONF3"].error
    assert (said["CONF4"].record, said["CONF4"].offset) == (1, 8 + 5)
    assert said["CONF5"].error == "the file has 0 bytes, which is too short to hold Head and Tail"


def test_the_same_bytes_under_the_same_name_are_a_repeat_and_under_another_are_not(site: Site) -> None:
    """A repeat changes nothing, another file is another answer, and no file in done/ is overwritten."""
    with running(Warehouse, site) as harness:
        order(harness, "1")
        for count in (1, 2):
            site.deliver("CONF1.DAT", confirmations(("1", 2)))
            wait(lambda count=count: len(site.done()) == count, "the file was not taken away")  # type: ignore[misc]
        assert site.done() == ["CONF1-2.DAT", "CONF1.DAT"]
        assert harness.ledger.counts().get(State.DEAD, 0) == 0
        site.deliver("CONF2.DAT", confirmations(("1", 2)))
        wait(lambda: len(site.done()) == 3, "the file was not taken away")
        [dead] = harness.ledger.find([State.DEAD], 10)
        assert "CONF2.DAT record 1" in str(dead.error)
        assert dead.message is not None
        assert dead.message.body == confirmations(("1", 2))
        assert len(harness.replies(1)) == 1


def test_an_answer_that_its_method_refuses_is_set_aside_and_the_others_are_taken(site: Site) -> None:
    """Its file is done with, since the ledger has it."""
    with running(Warehouse, site) as harness:
        order(harness, "1", "2")
        site.deliver("CONF1.DAT", confirmations(("1", 0), ("2", 2)))
        assert replies(harness, 1) == [Picked(order_id="2", quantity=2)]
        wait(site.done, "the file was not taken away")
        [dead] = harness.ledger.find([State.DEAD], 10)
    assert "nothing was picked" in str(dead.error)


def test_a_file_waits_for_an_event_that_it_was_quicker_than(site: Site) -> None:
    """What it answers already is completed, once; the rest when its event is there, and then the file is moved."""
    with running(Warehouse, site, unmatched_after=20) as harness, capture_logs() as lines:
        order(harness, "1")
        site.deliver("CONF1.DAT", confirmations(("1", 1), ("2", 2)))
        assert replies(harness, 1) == [Picked(order_id="1", quantity=1)]
        wait(lambda: len(said(lines, "answer without an event yet")) > 2, "it was not looked at again")
        assert site.waiting() == ["CONF1.DAT"]
        order(harness, "2")
        assert len(replies(harness, 2)) == 2
        wait(lambda: said(lines, "answer file taken"), "the file was not taken away")
    [line] = said(lines, "answer file taken")
    assert (line["records"], line["matched"]) == (2, 2)
    assert said(lines, "answer repeated") == []


def test_a_bug_in_the_totals_keeps_no_later_file_waiting(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is set aside, and the report says that it is a bug."""
    head, one = Head.encode_all([Head(day="20261121")]), confirmations(("1", 4))
    with running(Counted, site):
        monkeypatch.setattr(Totals, "sum", lambda *_: 1 // 0)
        site.deliver("CONF1.DAT", head, one, Tail.encode_all([Tail(records=1, quantity=4)]))
        wait(lambda: len(site.error()) == 2, "the file was not set aside")
        [fault] = report(site, "CONF1.DAT.report.jsonl")
        assert fault.error.startswith("reading it failed, which is a bug: ZeroDivisionError(")
        site.deliver("CONF2.DAT", one)
        wait(lambda: len(site.error()) == 4, "the next file was not looked at")


@pytest.mark.parametrize(("first", "expected"), [(confirmations(("1", 1)), ["1", "2"]), (BAD, ["2"])])
def test_what_takes_the_name_of_a_file_that_is_worked_on_is_read(
    site: Site, monkeypatch: pytest.MonkeyPatch, first: bytes, expected: list[str]
) -> None:
    """It is not put away in place of what was read, good or bad."""
    read, second = LocalFolder.read, confirmations(("2", 2))

    def replaced(self: LocalFolder, name: str) -> bytes:
        data = read(self, name)
        if data == first:
            site.deliver(name, second)
        return data

    monkeypatch.setattr(LocalFolder, "read", replaced)
    with running(Warehouse, site) as harness, capture_logs() as lines:
        order(harness, "1", "2")
        site.deliver("CONF1.DAT", first)
        assert [reply.order_id for reply in replies(harness, len(expected))] == expected
        wait(site.done, "the file was not taken away")
    assert (site.answers / "done" / "CONF1.DAT").read_bytes() == second
    assert (site.done(), site.error()) == (["CONF1.DAT"], [])
    assert len(said(lines, "answer file replaced")) == 1


def test_done_files_can_be_deleted(site: Site) -> None:
    """Then nothing is left of them."""
    with running(Warehouse, site, done_files="delete") as harness:
        order(harness, "1")
        site.deliver("CONF1.DAT", confirmations(("1", 2)))
        replies(harness, 1)
        wait(lambda: not site.waiting(), "the file was not deleted")
    assert site.done() == site.error() == []


def test_a_folder_that_is_away_is_said_once_and_keeps_nobody_waiting(site: Site) -> None:
    """Drops go on, and answers are taken when it is back."""
    with running(Warehouse, site) as harness, capture_logs() as lines:
        site.answers.rename(away := site.answers.with_name("away"))
        wait(lambda: said(lines, "answers not looked for"), "it was not said")
        order(harness, "1")
        time.sleep(0.2)
        assert len(said(lines, "answers not looked for")) == 1
        away.rename(site.answers)
        site.deliver("CONF1.DAT", confirmations(("1", 2)))
        assert replies(harness, 1) == [Picked(order_id="1", quantity=2)]


def test_a_file_that_cannot_be_read_is_said_once_and_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are taken meanwhile, and it is, once it can be read."""
    read, locked = LocalFolder.read, {"CONF1.DAT"}

    def refusing(self: LocalFolder, name: str) -> bytes:
        if name in locked:
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return read(self, name)

    monkeypatch.setattr(LocalFolder, "read", refusing)
    with running(Warehouse, site) as harness, capture_logs() as lines:
        order(harness, "1", "2")
        site.deliver("CONF1.DAT", confirmations(("1", 1)))
        wait(lambda: said(lines, "answer file not taken"), "it was not said")
        site.deliver("CONF2.DAT", confirmations(("2", 2)))
        assert replies(harness, 1) == [Picked(order_id="2", quantity=2)]
        [line] = said(lines, "answer file not taken")
        assert line["file"] == "CONF1.DAT"
        assert "Permission denied (EACCES)" in line["error"]
        locked.clear()
        assert len(replies(harness, 2)) == 2


class Everyone:
    """Stands for a ledger that several processes share: each answer is matched by the first who brings it."""

    def __init__(self) -> None:
        self.brought: Counter[str] = Counter()
        self._lock = threading.Lock()

    def complete(self, answers: Sequence[Answer], also: object = None) -> list[Completion]:
        """The first time, and every other."""
        with self._lock:
            self.brought.update(answer.id for answer in answers)
            return [Completion.MATCHED if self.brought[answer.id] == 1 else Completion.REPEATED for answer in answers]


def test_processes_that_look_into_one_folder_do_not_disturb_each_other(site: Site) -> None:
    """Each file and its markers lie in done/ once, good or bad none is lost, and nobody has trouble to tell of."""
    for number in range(60):
        data = confirmations((str(number), 1))
        site.deliver(f"CONF{number}.CTL", b"9")
        site.deliver(f"CONF{number}.DAT", data)
        site.deliver(f"CONF{number}.DAT.md5", hashlib.md5(data, usedforsecurity=False).hexdigest().encode())
    everyone = Everyone()
    settings = FileSettings.model_validate({"drop": site.drop, "answers": site.answers})

    def look() -> None:
        family = Marked._family(settings)
        while site.waiting():
            family.collect(everyone)

    with capture_logs() as lines:
        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    names = [f"CONF{number}.{end}" for number in range(60) for end in ("CTL", "DAT", "DAT.md5")]
    assert (site.done(), site.error()) == (sorted(names), [])
    assert len(everyone.brought) == 60
    assert [line for line in lines if line["log_level"] != "info"] == []
