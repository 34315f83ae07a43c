"""`make bench`: plays every contender in every job, interleaved and repeated; prints the tables and the targets.

All that is written, the broker's and the databases' files too, is below TMPDIR: choose the disk by it.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.job import Job
from tests.benchmarks.jobs import JOBS
from tests.benchmarks.options import Options, add_options, options_of
from tests.benchmarks.results import Results
from tests.benchmarks.stage import Stage, TrialFailed


def main() -> int:
    """Exit status 1 if a contender failed, else 0: a missed target is a finding, not a failure of the benchmark."""
    asked = _arguments()
    jobs = [job for job in JOBS if job.key.startswith(tuple(asked.jobs))]
    options = options_of(asked, quick=asked.quick, repeats=asked.repeats or (2 if asked.quick else 5))
    results = Results()
    with tempfile.TemporaryDirectory(prefix="adaptor-bench-", ignore_cleanup_errors=True) as folder:
        stage = Stage.on(Path(folder), options)
        facts = _facts(options)
        report.echo("; ".join(f"{name} {value}" for name, value in facts.items()))
        for job in jobs:
            _play(stage, job, results, asked.only or [""])
            report.echo("", *report.table(job, results, options.events_of(job)))
    facts["load_at_end"] = round(os.getloadavg()[0], 1)
    report.echo("", f"load at the end {facts['load_at_end']}", "", *report.targets(results, jobs))
    if asked.json:
        asked.json.write_text(json.dumps(report.as_json(jobs, results, facts), indent=1) + "\n")
    return 1 if results.failures else 0


def _play(stage: Stage, job: Job, results: Results, only: Sequence[str]) -> None:
    """All contenders once, and all of them again: what the machine does meanwhile meets each of them alike."""
    for number in range(min(stage.options.repeats, job.repeats or stage.options.repeats)):
        for contender in job.contenders:
            if not any(text in contender.name for text in only) or (job.key, contender.name) in results.failures:
                continue
            _progress(f"({job.key}) round {number + 1}: {contender.name}")
            try:
                results.add(job.key, contender.name, job.trial(stage, job, contender))
            except TrialFailed as failure:
                results.fail(job.key, contender.name, str(failure))
    _progress("")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    every = [job.key for job in JOBS]
    parser.add_argument("--jobs", type=_keys, default=every, metavar="LIST", help="a,b or c.sqlite; default: all")
    parser.add_argument("--quick", action="store_true", help="few events and two rounds: coarse figures in minutes")
    parser.add_argument("--repeats", type=int, help="rounds; default 5, quick 2")
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="contenders whose names hold it; may be repeated"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all trials there")
    add_options(parser)
    return parser.parse_args()


def _keys(text: str) -> list[str]:
    keys = text.split(",")
    if unknown := [key for key in keys if not any(job.key.startswith(key) for job in JOBS)]:
        raise argparse.ArgumentTypeError(f"no job {', '.join(unknown)}; there is {', '.join(job.key for job in JOBS)}")
    return keys


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
