"""The stages of an event's life, and by which code a moment of a processor is known to belong to one of them."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tests.benchmarks.watches import kind_of

K = TypeVar("K")

STAGES = (
    "transport read",
    "hand-over",
    "pipeline",
    "envelope",
    "validation",
    "claim",
    "handler",
    "effect",
    "record",
    "replies",
    "confirm",
    "ack",
    "logs",
    "other",
)

# Of a thread whose frames say nothing more: what its whole work is.
_THREADS = {"rabbitmq-consume": "transport read", "rabbitmq-publish": "confirm"}

RULES: Sequence[tuple[str, str]] = (
    (r"(structlog|logging)/|telemetry/logs\.py", "logs"),
    (r"benchmarks/(watch\w*|reservation|adaptors/\w+)\.py", "handler"),
    (r"(^|/)adaptors/(soap|files|sql)/", "effect"),
    (r"publishing\.py:(_on_confirm|_answer)", "confirm"),
    (r"handlers\.py:check_replies|replies\.py|outbox\.py|encoding\.py:(to_frames|in_writes)", "replies"),
    (r"envelopes/writing\.py|opened\.py:format_time|link\.py:write|publishing\.py", "replies"),
    (r"envelopes/opened\.py:(validate|_data|_validator)|pydantic/main\.py:model_validate", "validation"),
    (r"(envelopes/\w+|strict_json|admission)\.py", "envelope"),
    (r"pipeline\.py:(_claim|_granted)|store\.py:claim|ledger/.*:claim", "claim"),
    (r"pipeline\.py:_record|store\.py:record\w*|ledger/.*:record\w*", "record"),
    (r"ledger/.*:sent", "replies"),
    (r"workers\.py|consuming\.py:_hand_over|callback_threadsafe|threading\.py:(notify|wait|__enter__)", "hand-over"),
    (r"(pipeline|work|runner)\.py", "pipeline"),
    (r"(consuming|transport|rabbitmq/__init__)\.py:(_?ack|_take|_own)", "ack"),
)
_COMPILED = [(re.compile(pattern), stage) for pattern, stage in RULES]


@dataclass(slots=True)
class Profile:
    """Samples by kind of thread and stage, and by these and the function in which the thread was."""

    stages: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    functions: dict[str, Counter[tuple[str, str]]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def total(self) -> int:
        """All samples."""
        return sum(counter.total() for counter in self.stages.values())

    def per_stage(self, user: Mapping[str, float]) -> Counter[str]:
        """The stages' parts of what each kind of thread took in user mode."""
        return _parts(self.stages, user)

    def per_function(self, user: Mapping[str, float]) -> Counter[tuple[str, str]]:
        """The parts of (stage, function), as `per_stage`."""
        return _parts(self.functions, user)


def read(lines: Iterable[str]) -> Profile:
    """Samples as `py-spy record --format raw --threads --function` writes them: a stack, and how often it was seen."""
    profile = Profile()
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        thread, *frames = stack.split(";")
        name = kind_of(thread.partition(": ")[2])
        functions = [_function(frame) for frame in frames]
        stage = stage_of(name, functions)
        profile.stages[name][stage] += int(count)
        profile.functions[name][stage, functions[-1] if functions else ""] += int(count)
    return profile


def stage_of(thread: str, functions: Sequence[str]) -> str:
    """The stage of a stack, outermost function first: that of the innermost function which is known, or the thread's.

    A function is given as `path/file.py:Class.name`; the rules know it without its class.
    """
    for function in reversed(functions):
        file, _, name = function.rpartition(":")
        bare = f"{file}:{name.rpartition('.')[2]}"
        for pattern, stage in _COMPILED:
            if pattern.search(bare):
                return stage
    return _THREADS.get(thread, "other")


def _parts(samples: Mapping[str, Counter[K]], user: Mapping[str, float]) -> Counter[K]:
    parts: Counter[K] = Counter()
    for thread, counter in samples.items():
        for key, count in counter.items():
            parts[key] += user.get(thread, 0.0) * count / counter.total()  # type: ignore[assignment]  # µs, not counts
    return parts


def _function(frame: str) -> str:
    """`name (path/file.py:1)` as `path/file.py:name`."""
    name, _, place = frame.partition(" (")
    return f"{re.sub(r':[0-9]+$', '', place.rstrip(')'))}:{name}"
