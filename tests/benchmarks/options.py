"""What a run is asked for, by `make bench` and `make profile` alike."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked for. `events` replaces every job's own number; `settings` are variables for the toolkit alone."""

    events: int | None = None
    quick: bool = False
    repeats: int = 5
    size: int = 600
    prefetch: int = 1000
    queue_type: str = "quorum"
    rate: int = 200
    settings: Mapping[str, str]

    def events_of(self, job: Job) -> int:
        """How many events a trial of this job has."""
        return self.events or (job.quick if self.quick else job.full)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every trial, which `options_of` reads."""
    parser.add_argument("--events", type=int, help="events of a trial, in place of each job's own number")
    parser.add_argument("--size", type=int, default=600, help="bytes of an event")
    parser.add_argument("--prefetch", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=200, help="events a second of job f")
    parser.add_argument("--queue-type", choices=("quorum", "classic"), default="quorum")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the toolkit, as ADAPTOR_RUNNER_CONCURRENCY=1; may be repeated",
    )


def options_of(asked: argparse.Namespace, **more: Any) -> Options:
    """What `add_options` has read; `more` are the other options, which yield to what was read."""
    read = {
        "events": asked.events,
        "size": asked.size,
        "prefetch": asked.prefetch,
        "rate": asked.rate,
        "queue_type": asked.queue_type,
        "settings": dict(setting.split("=", 1) for setting in asked.set),
    }
    return Options(**more | {name: value for name, value in read.items() if value is not None})
