"""File drops that an engineer writes by hand, on pika: durable before the ack."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.contenders.raw_pika import blocking
from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Watch
from tests.benchmarks.workload import QUEUE, OrderEvent

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel
    from pika.spec import Basic


def drop(task: Task, watch: Watch) -> None:
    """Write to a staging folder, fsync, rename into the drop, fsync the drop, ack."""
    folder = Path(task.settings["ADAPTOR_FILES_DROP"])
    staging = folder.with_name("staging")
    staging.mkdir()
    opened = os.open(folder, os.O_RDONLY)

    def start(channel: "BlockingChannel") -> None:
        def on_message(_: object, method: "Basic.Deliver", __: object, body: bytes) -> None:
            order = OrderEvent.model_validate_json(body).data
            watch.handled(order)
            tag = method.delivery_tag or 0
            staged = staging / f"ORDER{tag:09d}.JSON"
            with staged.open("wb") as file:
                file.write(order.model_dump_json().encode())
                file.flush()
                os.fsync(file.fileno())
            staged.rename(folder / staged.name)
            os.fsync(opened)
            channel.basic_ack(tag)
            watch.settled(1)

        channel.basic_consume(QUEUE, on_message)

    watch.expect_settlements()
    blocking(task, start)


FILES = Contender("by hand", "write, fsync, rename, fsync of the folder, ack each", drop)
