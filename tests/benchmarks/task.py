"""What a contender is, and what its process is told to do."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tests.benchmarks.watch import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One trial. `watch` says what is measured; `settings` are variables as `adaptor run` reads them."""

    job: str
    contender: str
    watch: str = "throughput"
    url: str = ""
    events: int
    prefetch: int
    rest: float
    folder: str
    result: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def ack_every(self) -> int:
        """After how many events those who coalesce by counting ack: 100, and less where the prefetch is small."""
        return max(min(100, self.prefetch // 4), 1)

    def to_json(self) -> str:
        """The task as its process gets it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The task again."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do a job.

    `run` consumes until its process is ended. Its module imports only what both environments have, so that the roster
    can be read in each; the rest is imported inside.

    `configuration` is printed beside the figures. `peer` says that it runs in the environment of the peers, `consumes`
    that its work is in the queue. `headers` are what its messages need beside the body. `rest` is for how many seconds
    it must have done nothing before all is taken for settled.
    """

    name: str
    configuration: str
    run: Callable[[Task, "Watch"], None]
    peer: bool = False
    headers: Callable[[int], Mapping[str, str]] | None = None
    rest: float = 0.3
    consumes: bool = True
