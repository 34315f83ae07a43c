"""Several threads, one commit: the one whose turn it is commits for all who came meanwhile. Nobody waits for more."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapter_sdk.events import Key
from adapter_sdk.ledger.base import ClaimLost, Journal, State
from adapter_sdk.ledger.rows import event_hash


@dataclass(slots=True)
class _Note:
    key: Key
    token: str
    state: State
    evidence: Mapping[str, Any]
    lazy: bool
    is_done: bool = False
    error: BaseException | None = None


class SharedNotes:
    """Writes into one journal for any number of threads."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._waiting: deque[_Note] = deque()
        self._turn = threading.Lock()

    def write(self, key: Key, token: str, state: State, evidence: Mapping[str, Any], *, lazy: bool = False) -> None:
        """Return when the note is durable; a `lazy` one is written, and will be on the disk with the next commit.

        Raises LedgerError, or ClaimLost if `token` no longer owns the row.
        """
        note = _Note(key, token, state, evidence, lazy)
        self._waiting.append(note)
        with self._turn:
            if not note.is_done:
                self._commit()
        if note.error is not None:
            raise note.error

    def _commit(self) -> None:
        notes = [self._waiting.popleft() for _ in range(len(self._waiting))]
        # Rows are always changed in one order, so that processes that share a ledger wait in no circle.
        notes.sort(key=lambda note: event_hash(note.key))
        try:
            with self.journal.transaction(lazy=all(note.lazy for note in notes)) as transaction:
                for note in notes:
                    try:
                        transaction.note(note.key, note.token, note.state, note.evidence)
                    except ClaimLost as error:
                        note.error = error
        except BaseException as error:
            for note in notes:
                note.error = note.error or error
            raise
        finally:
            for note in notes:
                note.is_done = True
