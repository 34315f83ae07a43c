"""(i): `adaptor run --processes N` before a system that takes its time, with a ledger that the processes share."""

import ctypes
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.benchmarks.command import adaptor_run
from tests.benchmarks.contenders import toolkit
from tests.benchmarks.job import Job
from tests.benchmarks.jobs.sql import postgresql_database
from tests.benchmarks.queues import queues_on
from tests.benchmarks.stage import Stage, TrialFailed
from tests.benchmarks.task import Contender
from tests.benchmarks.watch import Figures, cpu_at_rest
from tests.benchmarks.workload import HANDLED, bodies
from tests.services import wait_until

_ADAPTOR = "tests.benchmarks.adaptors.plain:Remote"


def trial(stage: Stage, job: Job, contender: Contender) -> Figures:
    """Publish when all processes consume; the handlers write down when they were called, the CPU is seen from outside.

    The time is from the first call's begin to the last one's end.
    """
    count = next(count for count, one in toolkit.PROCESSES.items() if one is contender)
    with (
        stage.place() as folder,
        queues_on(stage.broker, stage.options.queue_type) as queues,
        postgresql_database(stage, folder) as url,
    ):
        task = replace(stage.task(job, contender, folder, settings={"ADAPTOR_LEDGER_URL": url}), url=queues.url)
        handled = folder / "handled"
        handled.touch()
        environment = {**toolkit.environment(task), HANDLED: str(handled)}
        toolkit.install(_ADAPTOR, environment)
        with adaptor_run(folder, environment, "--processes", str(count), _ADAPTOR) as pid:
            queues.wait_for_consumers(count)
            clock = partial(cpu_of_family, pid)
            before = cpu_at_rest(task.rest, clock)
            queues.fill(bodies(task.events, stage.options.size))
            wait_until(lambda: handled.read_bytes().count(b"\n") >= task.events, 60 + task.events / 100)
            cpu = cpu_at_rest(task.rest, clock) - before
        calls = [line.split() for line in handled.read_text().splitlines()]
        left = queues.left()
    if len(calls) != task.events or left:
        raise TrialFailed(f"{len(calls)} calls for {task.events} events, of which {left} were not settled")
    if (took_part := len({process for process, _, _ in calls})) != count:
        raise TrialFailed(f"{took_part} of {count} processes took part")
    seconds = max(float(ended) for _, _, ended in calls) - min(float(began) for _, began, _ in calls)
    return {
        "seconds": seconds,
        "events_per_second": task.events / seconds,
        "cpu_us": cpu / task.events * 1e6,
        "handled": len(calls),
    }


def cpu_of_family(pid: int) -> float:
    """Seconds of CPU so far of a process and its children, of all their threads. Raises TrialFailed if one is gone."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(_cpu_of(each) for each in (pid, *map(int, children)))


def _cpu_of(pid: int) -> float:
    clock = ctypes.c_int()
    if error := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise TrialFailed(f"process {pid} has no clock: error {error}")
    return time.clock_gettime(clock.value)


JOBS = (
    Job(
        key="i",
        title="several processes, before a system that takes 5 ms",
        trial=trial,
        full=4_000,
        quick=2_000,
    ),
)
