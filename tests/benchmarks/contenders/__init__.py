"""Who takes part in which job, by the letter of the job."""

from collections.abc import Mapping, Sequence

from tests.benchmarks.contenders import raw_pika, toolkit
from tests.benchmarks.task import Contender

ROSTER: Mapping[str, Sequence[Contender]] = {
    "a": (
        raw_pika.BLOCKING,
        raw_pika.SELECT,
        toolkit.IDEMPOTENT,
        toolkit.LEDGER,
    ),
    "b": (
        raw_pika.SELECT_CONFIRMED,
        raw_pika.BLOCKING_CONFIRMED,
        toolkit.REPLYING_IDEMPOTENT,
        toolkit.REPLYING_LEDGER,
    ),
}
