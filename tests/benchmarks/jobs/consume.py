"""(a) and (b): a queue full of events is consumed to its end, with and without a confirmed reply to each."""

from tests.benchmarks.job import Job
from tests.benchmarks.queues import queues_on
from tests.benchmarks.stage import Stage, TrialFailed
from tests.benchmarks.task import Contender
from tests.benchmarks.watch import Figures
from tests.benchmarks.workload import bodies


def consume(stage: Stage, job: Job, contender: Contender) -> Figures:
    """Fill, consume, and see that nothing is left."""
    return _consume(stage, job, contender, replies=0)


def reply(stage: Stage, job: Job, contender: Contender) -> Figures:
    """The same, and one reply per event must have arrived."""
    return _consume(stage, job, contender, replies=1)


def _consume(stage: Stage, job: Job, contender: Contender, replies: int) -> Figures:
    with stage.place() as folder, queues_on(stage.node.broker, stage.options.queue_type) as queues:
        task = stage.task(job, contender, folder, url=queues.url)
        queues.fill(bodies(task.events, stage.options.size), contender.headers)
        figures = stage.play(contender, task)
        if left := queues.left():
            raise TrialFailed(f"{left} of {task.events} events were not settled")
        if (arrived := queues.replies()) != replies * task.events:
            raise TrialFailed(f"{arrived} replies to {task.events} events")
    return figures


JOBS = (
    Job(letter="a", title="consume, validate, handle, ack", trial=consume, full=20_000, quick=4_000),
    Job(letter="b", title="the same with a confirmed reply", trial=reply, full=10_000, quick=2_000),
)
