"""(a), (b) and (g): a queue full of events is consumed to its end, without and with a confirmed reply to each."""

from dataclasses import replace

from tests.benchmarks.job import SPEED, Job
from tests.benchmarks.queues import queues_on
from tests.benchmarks.stage import Stage, TrialFailed
from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Figures
from tests.benchmarks.workload import bodies


def consume_all(stage: Stage, contender: Contender, task: Task, *, replies: int = 0) -> Figures:
    """Fill a queue, have it consumed; see that nothing is left, and that there are `replies` to each event."""
    with queues_on(stage.broker, stage.options.queue_type) as queues:
        queues.fill(bodies(task.events, stage.options.size), contender.headers)
        figures = stage.play(contender, replace(task, url=queues.url))
        if figures["handled"] != task.events:
            raise TrialFailed(f"{figures['handled']} calls for {task.events} events")
        if left := queues.left():
            raise TrialFailed(f"{left} of {task.events} events were not settled")
        if (arrived := queues.replies()) != replies * task.events:
            raise TrialFailed(f"{arrived} replies to {task.events} events")
    return figures


def consume(stage: Stage, job: Job, contender: Contender) -> Figures:
    """Validate, handle, ack."""
    with stage.place() as folder:
        return consume_all(stage, contender, stage.task(job, contender, folder))


def reply(stage: Stage, job: Job, contender: Contender) -> Figures:
    """The same with one reply per event, confirmed before the ack."""
    with stage.place() as folder:
        return consume_all(stage, contender, stage.task(job, contender, folder), replies=1)


def backlog(stage: Stage, job: Job, contender: Contender) -> Figures:
    """As `consume`, with a look at the memory."""
    with stage.place() as folder:
        return consume_all(stage, contender, stage.task(job, contender, folder, watch="backlog"))


JOBS = (
    Job(key="a", title="consume, validate, handle, ack", trial=consume, full=20_000, quick=4_000),
    Job(key="b", title="the same with a confirmed reply", trial=reply, full=6_000, quick=2_000),
)
BACKLOG = Job(
    key="g",
    title="a backlog",
    trial=backlog,
    full=1_000_000,
    quick=30_000,
    repeats=1,
    columns={
        "seconds": "seconds",
        **SPEED,
        "memory_early": "MB after 10,000",
        "memory_end": "MB at the end",
        "memory_growth": "MB more",
    },
)
