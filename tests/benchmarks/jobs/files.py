"""(d): a file per event, on the disk before the event is acked."""

import tempfile
from pathlib import Path

from tests.benchmarks.job import Job
from tests.benchmarks.jobs.consume import consume_all
from tests.benchmarks.stage import Stage, TrialFailed
from tests.benchmarks.task import Contender
from tests.benchmarks.watch import Figures


def trial(stage: Stage, job: Job, contender: Contender) -> Figures:
    """Consume into an empty folder, and count its files.

    They stay until all trials are over: ext4 gives out no inode that was freed in the last minutes, and looks at each,
    so that the files which one trial leaves to be deleted would be paid for by the next.
    """
    with stage.place() as folder:
        drop = Path(tempfile.mkdtemp(dir=stage.folder)) / "drop"
        drop.mkdir()
        task = stage.task(job, contender, folder, settings={"ADAPTOR_FILES_DROP": str(drop)})
        figures = consume_all(stage, contender, task)
        files = sum(1 for _ in drop.iterdir())
        if files != task.events:
            raise TrialFailed(f"{files} files of {task.events} events")
    return figures


JOBS = (Job(key="d", title="file drop, one durable file per event", trial=trial, full=3_000, quick=1_000),)
