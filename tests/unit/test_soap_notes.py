"""Notes of several threads share a commit, and nothing else: each is durable or fails on its own."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from adapter_sdk import Adaptor, Event, EventData, handles
from adapter_sdk.errors import LedgerError
from adapter_sdk.events import Key
from adapter_sdk.family import Claim
from adapter_sdk.ledger.base import ClaimLost, State
from adapter_sdk.testing import event_of
from adaptors.soap.journal import LedgerCalls
from adaptors.soap.notes import SharedNotes
from adaptors.soap.record import Answer
from tests.services.waiting import wait_until


class Placed(EventData, type="shop.placed"):
    order_id: str


class Orders(Adaptor):
    name = "orders"

    @handles
    def book(self, event: Event[Placed]) -> None:
        """Nothing is called: what is written of calls is looked at."""


class SlowJournal:
    """Keeps commits in memory. The first waits until it is let go; a commit fails while `broken` is set."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.lazy: list[bool] = []
        self.may_go_on = threading.Event()
        self.began = threading.Event()
        self.broken = False
        self._open: list[str] = []

    @contextmanager
    def transaction(self, *, lazy: bool = False) -> Iterator["SlowJournal"]:
        self._open = []
        self.lazy.append(lazy)
        yield self
        self.began.set()
        assert self.may_go_on.wait(60)
        if self.broken:
            raise LedgerError("the disk is full")
        self.commits.append(self._open)

    def note(self, key: Key, token: str, state: State, evidence: Mapping[str, Any], replies: Any = ()) -> None:
        if token == "lost":
            raise ClaimLost("another worker has it")
        self._open.append(key.id)

    def next_number(self, sequence: str) -> int:
        raise NotImplementedError


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Eight threads."""
    with ThreadPoolExecutor(8) as executor:
        yield executor


def _claim(number: int) -> Claim:
    event = event_of(Placed(order_id=str(number)))
    handler = Orders._handlers["shop.placed"]
    return Claim(event=event, handler=handler, token="mine", seal=lambda _: ())


def _seven_behind_one(journal: SlowJournal, notes: SharedNotes, pool: ThreadPoolExecutor) -> list[Future[None]]:
    """One note whose commit takes its time, and seven that come meanwhile; the third of all has lost its claim."""

    def write(number: int) -> None:
        notes.write(Key("/s", str(number)), "lost" if number == 2 else "mine", State.CALLING, {})

    futures = [pool.submit(write, 0)]
    assert journal.began.wait(60)
    futures += [pool.submit(write, number) for number in range(1, 8)]
    wait_until(lambda: len(notes._waiting) == 7)
    return futures


def test_notes_that_come_during_a_commit_share_the_next(pool: ThreadPoolExecutor) -> None:
    """Eight notes are two commits, and each writer returns only after its own."""
    journal = SlowJournal()
    notes = SharedNotes(journal)
    futures = _seven_behind_one(journal, notes, pool)
    assert not any(future.done() for future in futures)
    journal.may_go_on.set()
    failed = [number for number, future in enumerate(futures) if future.exception(10)]
    assert failed == [2]
    assert isinstance(futures[2].exception(), ClaimLost)
    assert [sorted(commit) for commit in journal.commits] == [["0"], ["1", "3", "4", "5", "6", "7"]]


def test_only_an_answer_does_not_wait_for_the_disk() -> None:
    """That a call leaves, failed or is in doubt is synced at once; an answer with what comes next."""
    journal = SlowJournal()
    journal.may_go_on.set()
    calls = LedgerCalls(SharedNotes(journal), _claim(1))
    calls.calling(1, "Book", "digest", "id-1")
    calls.answered(1, Answer(200, "text/xml", b"<ok/>"))
    calls.calling(2, "Print", "digest", "id-2")
    calls.in_doubt(2, None)
    calls.not_applied(2, None)
    assert journal.lazy == [False, True, False, False, False]


def test_an_answer_that_shares_a_commit_with_a_call_is_synced_with_it(pool: ThreadPoolExecutor) -> None:
    """One note that has to be on the disk takes all with it that are written together."""
    journal = SlowJournal()
    notes = SharedNotes(journal)
    write = partial(notes.write, token="mine", state=State.CALLING, evidence={})
    futures = [pool.submit(write, Key("/s", "0"), lazy=True)]
    assert journal.began.wait(10)
    futures += [pool.submit(write, Key("/s", str(number)), lazy=number > 1) for number in range(1, 4)]
    wait_until(lambda: len(notes._waiting) == 3)
    journal.may_go_on.set()
    for future in futures:
        future.result(10)
    assert journal.lazy == [True, False]


def test_a_failed_commit_fails_for_everybody_in_it_and_for_nobody_after(pool: ThreadPoolExecutor) -> None:
    """Nobody takes a note for durable that is not; when the ledger works again, so do the notes."""
    journal = SlowJournal()
    notes = SharedNotes(journal)
    futures = _seven_behind_one(journal, notes, pool)
    journal.broken = True
    journal.may_go_on.set()
    assert all(isinstance(future.exception(10), LedgerError | ClaimLost) for future in futures)
    journal.broken = False
    notes.write(Key("/s", "9"), "mine", State.CLAIMED, {})
    assert journal.commits == [["9"]]
