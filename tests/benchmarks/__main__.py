"""`make bench`: plays every contender in every job, interleaved and repeated; prints the tables and the targets."""

import argparse
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.job import Job
from tests.benchmarks.jobs import JOBS
from tests.benchmarks.results import Results
from tests.benchmarks.stage import Options, Stage, TrialFailed

_BY_LETTER = {job.letter: job for job in JOBS}


def main() -> int:
    """Exit status 1 if a contender failed, else 0: a missed target is a finding, not a failure of the benchmark."""
    asked = _arguments()
    jobs = [_BY_LETTER[letter] for letter in asked.jobs]
    options = options_of(asked, quick=asked.quick, repeats=asked.repeats or (2 if asked.quick else 5))
    with tempfile.TemporaryDirectory(prefix="adaptor-bench-", dir=asked.folder, ignore_cleanup_errors=True) as folder:
        stage = Stage.on(Path(folder), options)
        facts = _facts(options)
        try:
            report.echo("; ".join(f"{name} {value}" for name, value in facts.items()))
            results = Results()
            for job in jobs:
                _play(stage, job, results, asked.only)
                report.echo("", *report.table(job, results))
        finally:
            stage.end()
    report.echo("", *report.targets(results, asked.jobs))
    if asked.json:
        asked.json.write_text(json.dumps(report.as_json(jobs, results, facts), indent=1) + "\n")
    return 1 if results.failures else 0


def _play(stage: Stage, job: Job, results: Results, only: str) -> None:
    """All contenders once, and all of them again: what the machine does meanwhile meets each of them alike."""
    for number in range(min(stage.options.repeats, job.repeats or stage.options.repeats)):
        for contender in job.contenders:
            if only not in contender.name or (job.letter, contender.name) in results.failures:
                continue
            _progress(f"({job.letter}) round {number + 1}: {contender.name}")
            try:
                results.add(job.letter, contender.name, job.trial(stage, job, contender))
            except TrialFailed as failure:
                results.fail(job.letter, contender.name, str(failure))
    _progress("")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every trial, which `options_of` reads."""
    parser.add_argument("--events", type=int, help="events of a trial, in place of each job's own number")
    parser.add_argument("--size", type=int, default=600, help="bytes of an event")
    parser.add_argument("--prefetch", type=int, default=1000)
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
        "queue_type": asked.queue_type,
        "settings": dict(setting.split("=", 1) for setting in asked.set),
    }
    return Options(**more | {name: value for name, value in read.items() if value is not None})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--jobs", type=_letters, default=list(_BY_LETTER), metavar="LIST", help="a,b,...; default: all")
    parser.add_argument("--quick", action="store_true", help="few events and two rounds: coarse figures in minutes")
    parser.add_argument("--repeats", type=int, help="rounds; default 5, quick 2")
    parser.add_argument("--only", default="", metavar="TEXT", help="contenders whose names hold this text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all trials there")
    parser.add_argument("--folder", type=Path, help="where to work: on the disk that is to be measured")
    add_options(parser)
    return parser.parse_args()


def _letters(text: str) -> list[str]:
    letters = text.split(",")
    if unknown := [letter for letter in letters if letter not in _BY_LETTER]:
        raise argparse.ArgumentTypeError(f"no job {', '.join(unknown)}; there is {', '.join(_BY_LETTER)}")
    return letters


def _facts(options: Options) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "toolkit": version("legacy-event-adaptor-toolkit"),
        "python": platform.python_version(),
        "pika": version("pika"),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "queue": options.queue_type,
        "bytes": options.size,
        "prefetch": options.prefetch,
        "rounds": options.repeats,
        "quick": options.quick,
    }


def _progress(text: str) -> None:
    """One line that replaces itself, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
