"""(e): a SOAP call per event, beside calls that no event asked for."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tests.benchmarks.erp import WSDL
from tests.benchmarks.job import Job
from tests.benchmarks.jobs.consume import consume_all
from tests.benchmarks.stage import ROOT, Stage
from tests.benchmarks.task import Contender
from tests.benchmarks.watch import Figures
from tests.services import free_port
from tests.services.supervised import Supervised


def trial(threads: int, stage: Stage, job: Job, contender: Contender) -> Figures:
    """Make one call per event. Contenders without a broker find their queue as they left it: untouched."""
    with stage.place() as folder, _service(stage) as endpoint:
        settings = {
            "ADAPTOR_SOAP_WSDL": str(WSDL),
            "ADAPTOR_SOAP_ENDPOINT": endpoint,
            "ADAPTOR_RUNNER_CONCURRENCY": str(threads),
        }
        task = stage.task(job, contender, folder, settings=settings)
        return consume_all(stage, contender, task) if contender.consumes else stage.play(contender, task)


@contextmanager
def _service(stage: Stage) -> Iterator[str]:
    """The service of `tests.benchmarks.erp`; its URL."""
    port = free_port()
    service = Supervised("erp", stage.run.log("erp"))
    command = [sys.executable, "-m", "tests.benchmarks.erp", str(port)]
    service.start(command, environment={**os.environ, "PYTHONPATH": str(ROOT)})
    service.wait_ready(lambda: "ready" in service.log_tail())
    try:
        yield f"http://127.0.0.1:{port}/soap"
    finally:
        service.end()


JOBS = tuple(
    Job(
        key=f"e.{threads}",
        title=f"SOAP calls, {threads} thread{'s' if threads > 1 else ''}",
        trial=partial(trial, threads),
        full=3_000,
        quick=800,
        columns={"events_per_second": "calls/s", "cpu_us": "CPU µs/call"},
    )
    for threads in (1, 8)
)
