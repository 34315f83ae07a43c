"""Who takes part in which job, by the key of the job."""

from collections.abc import Mapping, Sequence

from tests.benchmarks.contenders import (
    aio_pika_peer,
    celery_peer,
    dramatiq_peer,
    faststream_peer,
    files_by_hand,
    kombu_peer,
    raw_pika,
    soap_by_hand,
    sql_by_hand,
    toolkit,
)
from tests.benchmarks.task import Contender

_SQL = (sql_by_hand.EACH, sql_by_hand.BATCH, sql_by_hand.MANY, toolkit.SQL, toolkit.SQL_LIST)
_SOAP = (soap_by_hand.ZEEP, soap_by_hand.REQUESTS, soap_by_hand.HTTP_CLIENT, toolkit.SOAP, soap_by_hand.SERVICE)

ROSTER: Mapping[str, Sequence[Contender]] = {
    "a": (
        raw_pika.BLOCKING,
        raw_pika.SELECT,
        toolkit.IDEMPOTENT,
        toolkit.LEDGER,
        faststream_peer.FASTSTREAM,
        aio_pika_peer.AIO_PIKA,
        dramatiq_peer.DRAMATIQ,
        celery_peer.CELERY,
        kombu_peer.KOMBU,
    ),
    "b": (
        raw_pika.SELECT_CONFIRMED,
        raw_pika.BLOCKING_CONFIRMED,
        toolkit.REPLYING_IDEMPOTENT,
        toolkit.REPLYING_LEDGER,
        faststream_peer.FASTSTREAM_REPLY,
        aio_pika_peer.AIO_PIKA_REPLY,
        dramatiq_peer.DRAMATIQ_REPLY,
        celery_peer.CELERY_REPLY,
        kombu_peer.KOMBU_REPLY,
    ),
    "c.postgresql": _SQL,
    "c.sqlite": _SQL,
    "d": (files_by_hand.FILES, toolkit.FILES),
    "e.1": _SOAP,
    "e.8": _SOAP,
    "f": (
        raw_pika.SELECT_CONFIRMED,
        raw_pika.BLOCKING_CONFIRMED,
        toolkit.REPLYING_IDEMPOTENT,
        toolkit.REPLYING_LEDGER,
        faststream_peer.FASTSTREAM_REPLY,
        aio_pika_peer.AIO_PIKA_REPLY,
    ),
    "g": (raw_pika.BLOCKING, toolkit.IDEMPOTENT, toolkit.LEDGER),
    "h": (raw_pika.BLOCKING, toolkit.STARTING, faststream_peer.FASTSTREAM),
    "i": tuple(toolkit.PROCESSES.values()),
}
