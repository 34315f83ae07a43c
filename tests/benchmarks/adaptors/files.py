"""One file per event."""

from adapter_sdk import Event, handles
from adaptors.files import Drop, FileDropAdaptor
from tests.benchmarks.adaptors import OrderPlaced, Watched
from tests.benchmarks.workload import QUEUE


class Dropping(Watched, FileDropAdaptor):
    name = QUEUE
    file_name = "ORDER{sequence:09d}.JSON"

    @handles
    def drop(self, event: Event[OrderPlaced], drop: Drop) -> None:
        self.watch.handled(event.data)
        drop.write_bytes(event.data.model_dump_json().encode())
