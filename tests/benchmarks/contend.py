"""The process of one contender: `python -m tests.benchmarks.contend`, with its task as JSON on the standard input."""

import json
import os
import sys
import threading
from pathlib import Path

from tests.benchmarks.contenders import ROSTER
from tests.benchmarks.task import Task
from tests.benchmarks.watch import Watch
from tests.benchmarks.watches import WATCHES


def main() -> None:
    """Run the contender until the watch has seen all events; the figures are written to the task's result file."""
    task = Task.from_json(sys.stdin.readline())
    contender = next(one for one in ROSTER[task.job] if one.name == task.contender)
    watch = WATCHES[task.watch](task.events)
    threading.Thread(target=_report, args=(task, watch), daemon=True).start()
    contender.run(task, watch)
    watch.finished.wait()
    threading.Event().wait()  # `_report` ends the process


def _report(task: Task, watch: Watch) -> None:
    watch.finished.wait()
    result = Path(task.result)
    written = result.with_suffix(".new")
    written.write_text(json.dumps(watch.figures(task.rest)))
    written.rename(result)
    # Frameworks have ways of their own to stop, none of which is to be measured.
    os._exit(0)


if __name__ == "__main__":
    main()
