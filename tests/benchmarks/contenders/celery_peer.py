"""Celery: the event is the argument of a task, unchanged; two headers name the task."""

from collections.abc import Mapping
from typing import Any

from tests.benchmarks.contenders.kombu_peer import confirming_producer, publish
from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Watch
from tests.benchmarks.workload import CONTENT_TYPE, QUEUE, OrderEvent

_TASK = "bench.handle"


def headers(number: int) -> Mapping[str, str]:
    """What a message needs to be a task."""
    return {"lang": "py", "task": _TASK, "id": f"{number:09d}"}


def consume(task: Task, watch: Watch) -> None:
    """(a)."""

    def handle(body: bytes) -> None:
        watch.handled(OrderEvent.model_validate_json(body).data)

    _work(task, handle)


def reply(task: Task, watch: Watch) -> None:
    """(b)."""
    producer = confirming_producer(task.url)

    def handle(body: bytes) -> None:
        event = OrderEvent.model_validate_json(body)
        watch.handled(event.data)
        publish(producer, event)
        watch.settled(1)

    watch.expect_settlements()
    _work(task, handle)


def _work(task: Task, handle: Any) -> None:
    from celery import Celery
    from kombu import Queue
    from kombu.serialization import register

    register(
        "event", encoder=None, decoder=lambda body: ((body,), {}, {}), content_type=CONTENT_TYPE, content_encoding=None
    )
    queue_type = task.settings["ADAPTOR_BROKER_QUEUE_TYPE"]
    app = Celery(broker=task.url)
    app.conf.update(
        accept_content=["event"],
        task_acks_late=True,
        task_ignore_result=True,
        task_queues=[Queue(QUEUE, no_declare=True, queue_arguments={"x-queue-type": queue_type})],
        task_create_missing_queues=False,
        worker_prefetch_multiplier=task.prefetch,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=False,
        broker_heartbeat=0,
    )
    app.task(handle, name=_TASK)
    app.worker_main(
        ["worker", "--pool=solo", "--loglevel=ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    )


_CONFIGURATION = "solo pool, acks late, no gossip, no mingle, no events, no results, no remote control"
_REST = 2.5  # seconds: when nothing more comes, it may ask the broker for a second before it acks
CELERY = Contender("Celery", _CONFIGURATION, consume, peer=True, headers=headers, rest=_REST)
CELERY_REPLY = Contender(
    "Celery", f"{_CONFIGURATION}; kombu with confirms", reply, peer=True, headers=headers, rest=_REST
)
