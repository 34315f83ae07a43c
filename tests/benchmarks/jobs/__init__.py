"""Every job, in the order of the report."""

from tests.benchmarks.job import Job
from tests.benchmarks.jobs import consume, files, latency, processes, soap, sql, startup

JOBS: tuple[Job, ...] = (
    *consume.JOBS,
    *sql.JOBS,
    *files.JOBS,
    *soap.JOBS,
    *latency.JOBS,
    consume.BACKLOG,
    *startup.JOBS,
    *processes.JOBS,
)
