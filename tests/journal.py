"""A journal in memory, for a family by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter_sdk.events import Key
from adapter_sdk.ledger.base import Reply, State


@dataclass(slots=True)
class NoJournal:
    """A journal that remembers in memory only: what it was told can be looked at."""

    notes: list[tuple[Key, State, Mapping[str, Any]]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def transaction(self, *, lazy: bool = False) -> "NoJournal":
        return self

    def __enter__(self) -> "NoJournal":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(
        self, key: Key, token: str, state: State, evidence: Mapping[str, Any], replies: tuple[Reply, ...] = ()
    ) -> None:
        self.notes.append((key, state, evidence))

    def next_number(self, sequence: str) -> int:
        self.numbers[sequence] = self.numbers.get(sequence, 0) + 1
        return self.numbers[sequence]
