"""The torture in its short form, and proof that it would notice: `make torture` runs it at any length."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter_sdk.events import Key
from adapter_sdk.replies import reply_id
from tests.services import rabbitmq, wait_until
from tests.services.missing import Missing, skip_or_fail
from tests.torture.backends import SOURCE
from tests.torture.campaign import Evidence, Row
from tests.torture.script import Fault, Kind, Planned, Size, broker_faults, script
from tests.torture.verdict import judge

ROOT = Path(__file__).parents[2]
FAMILIES = ("sql", "files", "soap")


@pytest.fixture(autouse=True, scope="module")
def _broker_is_installed() -> None:
    try:
        rabbitmq.find()
    except Missing as missing:
        skip_or_fail(missing)


def torture(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as `make torture` does."""
    command = [sys.executable, "-m", "tests.torture", "--folder", str(folder / "torture"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)


@pytest.mark.timeout(300)  # a minute where nothing else runs
def test_every_family_keeps_its_promise_through_kills_cuts_and_a_broker_restart(tmp_path: Path) -> None:
    """In a short run no event is lost or applied twice, and each fault has struck each family."""
    report = tmp_path / "report.json"
    sizes = ("--events", "200", "--kills", "4", "--broker-restarts", "1", "--patience", "90", "--silence", "90")
    ended = torture(tmp_path, *sizes, "--json", str(report))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    families = json.loads(report.read_text())["families"]
    assert [family["family"] for family in families] == list(FAMILIES)
    for family in families:
        assert family["events"] == 200
        assert family["sent"] > 200
        faults = ("kills", "stops", "cuts", "half_open", "clock_jumps", "broker_restarts")
        assert [family[fault] for fault in faults] == [4, 1, 1, 1, 1, 1]
        assert [family[wrong] for wrong in ("lost", "duplicated", "replies_missing", "replies_wrong")] == [0, 0, 0, 0]


@pytest.mark.timeout(300)  # half a minute where nothing else runs
def test_every_family_keeps_order_through_kills_cuts_and_a_broker_restart(tmp_path: Path) -> None:
    """In a short run with order no event is done before an earlier one of its key, and none is lost or done twice."""
    report = tmp_path / "report.json"
    sizes = ("--events", "100", "--kills", "2", "--broker-restarts", "1", "--patience", "90", "--silence", "90")
    ended = torture(tmp_path, "--ordered", *sizes, "--json", str(report))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "order broken" in ended.stdout.splitlines()[1]
    families = json.loads(report.read_text())["families"]
    assert [[family[wrong] for wrong in ("order_broken", "lost", "duplicated")] for family in families] == [[0] * 3] * 3


@pytest.mark.timeout(300)  # half a minute where nothing else runs
@pytest.mark.parametrize(
    ("broken", "events", "kills", "noticed"),
    [
        ("random-reply-ids", "50", "0", "reply under another id"),
        ("blind-resend", "120", "0", "effect more than once"),
        ("overtaking", "120", "0", "order broken"),
    ],
)
def test_a_broken_protocol_is_noticed(broken: str, events: str, kills: str, noticed: str, tmp_path: Path) -> None:
    """With one rule of the protocol broken on purpose the torture ends with status 1 and says which promise broke."""
    sizes = ("--events", events, "--kills", kills, "--broker-restarts", "0", "--patience", "15")
    ended = torture(tmp_path, "--broken", broken, *sizes)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert f": {noticed}: " in ended.stdout


def _processes_of(folder: Path) -> Iterator[int]:
    """Processes whose command line or environment names `folder`."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in told:
            yield int(process.name)


def test_nothing_outlives_a_torture_that_is_killed(tmp_path: Path) -> None:
    """When the torture itself is killed with SIGKILL, its adaptors, backends and broker end too."""
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "tests.torture", "--folder", str(folder), "--families", "files"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            # The torture itself, its warehouse with a supervisor, a broker with another, and two adaptors.
            wait_until(lambda: len(list(_processes_of(folder))) >= 6)
        finally:
            running.kill()
    wait_until(lambda: not list(_processes_of(folder)))


def test_the_same_seed_gives_the_same_events_and_faults() -> None:
    """A script and the broker's faults follow from seed, size and family alone, and another seed gives others."""
    size = Size(events=500, kills=30)
    assert script("sql", size, 7) == script("sql", size, 7)
    assert script("sql", size, 7) != script("sql", size, 8)
    assert script("sql", size, 7) != script("files", size, 7)
    assert broker_faults(20, 7) == broker_faults(20, 7)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_script_sends_every_event_and_one_in_ten_twice(family: str) -> None:
    """Every event of the size is sent at least once, about a tenth a second time, and every fault as often as asked."""
    size = Size(events=2000, kills=30)
    steps = script(family, size, 3)
    sent = [event for step in steps for event in step.events]
    assert {event.number for event in sent} == set(range(1, 2001))
    assert 140 < len(sent) - 2000 < 260
    strikes = [step.strike.fault for step in steps if step.strike]
    assert {fault: strikes.count(fault) for fault in Fault} == size.faults
    assert {event.kind for event in sent} == set(Kind) - ({Kind.UNASKED} if family != "soap" else set())


def test_a_script_with_order_has_its_trouble_with_half_of_the_keys() -> None:
    """Events of every second key are all plain; of the others many fail at first, and some die."""
    sent = {event for step in script("soap", Size(events=2000, kills=0), 3, ordered=True) for event in step.events}
    kinds = {key: {event.kind for event in sent if event.key == key} for key in {event.key for event in sent}}
    assert sum(found == {Kind.PLAIN} for found in kinds.values()) == len(kinds) / 2
    assert set().union(*kinds.values()) == set(Kind) - {Kind.UNASKED}
    assert sum(event.kind is Kind.FLAKY for event in sent) > 50


def _well() -> Evidence:
    """What is seen of one event when all is well."""
    event = Planned(1, Kind.PLAIN)
    return Evidence(
        accepted={event.id: event},
        done=[event.id],
        replies={event.id: {reply_id("sql", Key(SOURCE, event.id), 0): 1}},
        rows={event.id: Row("applied", None, due=False, unsent=False, attempts=1)},
    )


def test_evidence_without_a_fault_breaks_no_promise() -> None:
    """An event with one effect, one reply under its own id and a final row is in order."""
    assert judge("sql", "", _well(), 0).broken == []


@pytest.mark.parametrize(
    ("change", "noticed"),
    [
        ({"done": []}, "lost"),
        ({"done": ["00000001"] * 2}, "effect more than once"),
        ({"done": ["00000001", "other"]}, "effect of an event that nobody sent"),
        ({"replies": {}}, "reply missing"),
        ({"replies": {"00000001": {"another": 1}}}, "reply under another id"),
        ({"rows": {"00000001": Row("dead", "attempts used up", False, False, 9)}}, "given up without need"),
        ({"rows": {"00000001": Row("in doubt", None, False, False, 9)}}, "given up without need"),
        ({"rows": {"00000001": Row("waiting", None, True, False, 1)}}, "without an end"),
        ({"rows": {"00000001": Row("applied", None, False, True, 1)}}, "messages left in the ledger"),
        ({"unreadable": 1}, "malformed events not set aside"),
        ({"tries": {"00000001": 19}}, "called more often than the retry policy allows"),
        ({"left_on_broker": 1}, "messages left on the broker"),
        ({"own_ends": [3]}, "an adaptor ended by itself"),
        ({"silence": 31.0}, "work did not go on in time"),
        ({"largest": 301}, "an adaptor grew too large"),
    ],
)
def test_each_broken_promise_is_named(change: dict[str, object], noticed: str) -> None:
    """Evidence that differs in one thing breaks the promise about that thing."""
    evidence = _well()
    for name, value in change.items():
        setattr(evidence, name, value)
    assert any(sentence.startswith(noticed) for sentence in judge("sql", "", evidence, 0).broken)


@pytest.mark.parametrize(
    ("done", "broken"),
    [
        ([1, 2, 21, 22, 41], 0),
        ([2, 22, 1, 21, 41], 0),
        ([1, 41, 21, 2, 22], 1),
        ([41, 21, 1, 22, 2], 3),
    ],
)
def test_an_order_that_is_broken_is_counted(done: list[int], broken: int) -> None:
    """Events of one key that were done after a later one are counted and named; those of two keys have no order."""
    events = [Planned(number, Kind.PLAIN) for number in (1, 2, 21, 22, 41)]
    evidence = Evidence(
        accepted={event.id: event for event in events},
        done=[f"{number:08d}" for number in done],
        replies={event.id: {reply_id("sql", Key(SOURCE, event.id), 0): 1} for event in events},
        rows={event.id: Row("applied", None, due=False, unsent=False, attempts=1) for event in events},
    )
    verdict = judge("sql", "", evidence, 0, ordered=True)
    assert verdict.order_broken == broken
    assert [sentence.partition(",")[0] for sentence in verdict.broken] == [f"order broken: {broken}"] * bool(broken)
    assert judge("sql", "", evidence, 0).order_broken is None
