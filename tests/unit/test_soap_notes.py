"""Notes of several threads share a commit, and nothing else: each is durable or fails on its own."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from adapter_sdk.errors import LedgerError
from adapter_sdk.events import Key
from adapter_sdk.ledger.base import ClaimLost, State
from adaptors.soap.notes import SharedNotes
from tests.services.waiting import wait_until


class SlowJournal:
    """Keeps commits in memory. The first waits until it is let go; a commit fails while `broken` is set."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.may_go_on = threading.Event()
        self.began = threading.Event()
        self.broken = False
        self._open: list[str] = []

    @contextmanager
    def transaction(self) -> Iterator["SlowJournal"]:
        self._open = []
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
