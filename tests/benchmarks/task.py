"""What a contender is, and what its process is told to do."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tests.benchmarks.watch import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One trial. `watch` says what is measured; `more` is what the job adds, such as the URL of a database."""

    job: str
    contender: str
    watch: str = "throughput"
    url: str = ""
    events: int
    prefetch: int
    folder: str
    result: str
    settings: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)

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

    `configuration` is printed beside the figures. `peer` says that it runs in the environment of the peers. `headers`
    are what its messages need beside the body.
    """

    name: str
    configuration: str
    run: Callable[[Task, "Watch"], None]
    peer: bool = False
    headers: Callable[[int], Mapping[str, str]] | None = None
