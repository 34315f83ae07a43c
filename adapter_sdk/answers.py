"""Answers: what a backend says later about an event whose reply is owed. Read this to let a family look for them.

A family finds answers where its backend leaves them, has them completed, and only then takes them away. So a crash
between the two finds an answer again, and it is known by its id.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from pydantic import BaseModel

from adapter_sdk.answer_methods import AnswerSpec
from adapter_sdk.ledger.database import Rows
from adapter_sdk.transport.base import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer that the backend has left.

    `id` is its own, the same whenever it is found again (the digest of a file and the number of a record in it, the
    content of a row), and different for every other answer of the adaptor. `record` is what the method is given, or why
    it cannot be read: then it is set aside. `message` is what is kept of it then, and `origin` says to people where it
    stood: "CONF0001.DAT record 3".
    """

    id: str
    spec: AnswerSpec
    record: BaseModel | Exception
    message: Message
    origin: str

    @property
    def key(self) -> str:
        """The value of the record's key, without the spaces that fill a column; that of its event is the same."""
        return "" if isinstance(self.record, Exception) else str(getattr(self.record, self.spec.key)).strip()


class Completion(Enum):
    """What became of an answer. All but EARLY are durable: the answer can be taken away."""

    MATCHED = "matched"
    """The oldest event that was owed a reply under this key has it now."""
    REPEATED = "repeated"
    """It was completed, or set aside, before."""
    EARLY = "early"
    """Nothing is owed under this key yet: leave it where it is. Found so for long enough, it is set aside."""
    UNMATCHED = "unmatched"
    """Nothing was owed under this key for as long as was waited for it: it is a dead letter."""
    REFUSED = "refused"
    """The method raised, or its reply breaks its schema: it is a dead letter."""


class Answers(Protocol):
    """What a family hands the answers to that it has found."""

    def complete(
        self, answers: Sequence[Answer], also: Callable[[Rows, Sequence[Completion]], None] | None = None
    ) -> list[Completion]:
        """Complete the events that these answers are for: one completion per answer, durable when it returns.

        The replies are published then, and left to the sweep where the broker does not take them. `also` is called
        before the commit, in the ledger's own transaction: there a family whose ledger is in its backend takes the
        answers away. What it raises undoes all of it. Raises LedgerError or BrokerError.
        """
        ...
