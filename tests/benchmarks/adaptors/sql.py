"""One insert per event, with the ledger in the same transaction."""

from adapter_sdk import Event, handles
from adaptors.sql import Connection, SqlAdaptor
from tests.benchmarks.adaptors import OrderPlaced, Watched
from tests.benchmarks.reservation import INSERT, row_of
from tests.benchmarks.workload import QUEUE


class OneByOne(Watched, SqlAdaptor):
    name = QUEUE

    @handles
    def reserve(self, event: Event[OrderPlaced], db: Connection) -> None:
        self.watch.handled(event.data)
        db.execute(INSERT, row_of(event.data))


class AsList(Watched, SqlAdaptor):
    name = QUEUE

    @handles
    def reserve(self, events: list[Event[OrderPlaced]], db: Connection) -> None:
        for event in events:
            self.watch.handled(event.data)
        db.execute(INSERT, [row_of(event.data) for event in events])
