"""(h): from the start of a process to its first event handled, RabbitMQ already up and the event waiting."""

import time
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.command import adaptor_run
from tests.benchmarks.contenders import toolkit
from tests.benchmarks.job import Job
from tests.benchmarks.queues import queues_on
from tests.benchmarks.stage import Stage
from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Figures
from tests.benchmarks.workload import STARTED, bodies
from tests.services import wait_until

_ADAPTOR = "tests.benchmarks.adaptors.plain:Starting"


def trial(stage: Stage, job: Job, contender: Contender) -> Figures:
    """The toolkit starts as an operator starts it; the others start in the process of every trial."""
    with stage.place() as folder, queues_on(stage.broker, stage.options.queue_type) as queues:
        queues.fill(bodies(1, stage.options.size), contender.headers)
        task = replace(stage.task(job, contender, folder, watch="first"), url=queues.url, events=1)
        began = time.monotonic()
        first = _adaptor_run(task) if contender is toolkit.STARTING else stage.play(contender, task)["first"]
    return {"first_event_s": first - began}


def _adaptor_run(task: Task) -> float:
    """When the first event was handled, on the monotonic clock."""
    folder = Path(task.folder)
    started = folder / "started"
    with adaptor_run(folder, {**toolkit.environment(task), STARTED: str(started)}, _ADAPTOR):
        wait_until(lambda: started.exists() and started.read_text(), 60.0)
    return float(started.read_text())


JOBS = (
    Job(
        key="h",
        title="start-up to the first event handled",
        trial=trial,
        full=1,
        quick=1,
        columns={"first_event_s": "seconds"},
    ),
)
