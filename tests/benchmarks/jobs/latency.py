"""(f): how long an event takes to its handler, and its reply back, while events come at a steady rate."""

import json
import threading
import time
from dataclasses import replace
from functools import partial

import pika
from pika.adapters.blocking_connection import BlockingChannel

from tests.benchmarks.job import Job
from tests.benchmarks.queues import Queues, queues_on
from tests.benchmarks.stage import Stage, TrialFailed
from tests.benchmarks.task import Contender
from tests.benchmarks.watch import Figures
from tests.benchmarks.watches import percentiles
from tests.benchmarks.workload import CONTENT_TYPE, EXCHANGE, ORDER_TYPE, REPLIES, bodies, stamped
from tests.services import wait_until

_WARM_UP = 50  # events whose replies are not counted: the first ones meet cold code


def trial(stage: Stage, job: Job, contender: Contender) -> Figures:
    """Publish at the rate; the contender measures the way to its handler, this process the way back."""
    with stage.place() as folder, queues_on(stage.broker, stage.options.queue_type) as queues:
        task = replace(stage.task(job, contender, folder, watch="latency"), url=queues.url)
        replies = Replies(queues)
        try:
            figures = stage.play(contender, task, partial(_publish, stage, queues, task.events))
            try:
                wait_until(lambda: len(replies.taken) >= task.events)
            except TimeoutError:
                raise TrialFailed(f"{len(replies.taken)} replies to {task.events} events") from None
        finally:
            replies.end()
        return {**figures, **percentiles("replied", replies.taken[_WARM_UP:])}


class Replies:
    """Takes replies as they come, on a thread and a connection of its own; `taken` are milliseconds since the event."""

    def __init__(self, queues: Queues) -> None:
        self.taken: list[float] = []
        self._connection = pika.BlockingConnection(pika.URLParameters(queues.url))
        channel = self._connection.channel()
        channel.basic_qos(prefetch_count=1000)
        channel.basic_consume(REPLIES, self._on_reply)
        self._thread = threading.Thread(target=channel.start_consuming, daemon=True)
        self._channel = channel
        self._thread.start()

    def end(self) -> None:
        """Stop listening."""
        self._connection.add_callback_threadsafe(self._channel.stop_consuming)
        self._thread.join(10)
        self._connection.close()

    def _on_reply(
        self, channel: BlockingChannel, method: pika.spec.Basic.Deliver, _: pika.BasicProperties, body: bytes
    ) -> None:
        now = time.monotonic_ns()
        self.taken.append((now - json.loads(body)["data"]["sent_at"]) / 1e6)
        channel.basic_ack(method.delivery_tag or 0)


def _publish(stage: Stage, queues: Queues, events: int) -> None:
    """One event every so often, from the moment that somebody consumes. A late one does not delay the next."""
    queues.wait_for_consumers()
    properties = pika.BasicProperties(content_type=CONTENT_TYPE, delivery_mode=2, type=ORDER_TYPE)
    with pika.BlockingConnection(pika.URLParameters(queues.url)) as connection:
        channel = connection.channel()
        began = time.monotonic()
        for number, body in enumerate(bodies(events, stage.options.size), 1):
            due = began + number / stage.options.rate
            connection.process_data_events(0)
            time.sleep(max(due - time.monotonic(), 0))
            channel.basic_publish(EXCHANGE, ORDER_TYPE, stamped(body, time.monotonic_ns()), properties)


JOBS = (
    Job(
        key="f",
        title="latency at a steady rate, in milliseconds from publication",
        trial=trial,
        full=2_000,
        quick=600,
        columns={
            "handled_p50": "handled p50",
            "handled_p99": "handled p99",
            "replied_p50": "replied p50",
            "replied_p99": "replied p99",
            "cpu_us": "CPU µs/event",
        },
    ),
)
