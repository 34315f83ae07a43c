"""Every job, in the order of the report."""

from tests.benchmarks.job import Job
from tests.benchmarks.jobs import consume

JOBS: tuple[Job, ...] = consume.JOBS
