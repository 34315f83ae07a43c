"""A file of many events whose confirmations come later, in another file: each event is owed its own reply."""

from pathlib import Path

from adapter_sdk import Event, Pending, handles
from adapter_sdk.ledger.base import State
from adapter_sdk.testing import AdaptorHarness, event_of
from adaptors.files import Batch, Drop, FileDropAdaptor
from tests.answer_files import Confirmation, Picked, PickOrdered, Site, confirmations, running, wait


class Runs(FileDropAdaptor, batch=Batch(count=3, after=900)):
    """Three orders a file, one line each."""

    name = "runs"
    file_name = "RUN{sequence:03d}.TXT"

    @handles
    def pick(self, events: list[Event[PickOrdered]], drop: Drop) -> list[Pending[Picked]]:
        """All of a file on one line."""
        drop.write_text(",".join(event.data.order_id for event in events), encoding="ascii", records=len(events))
        return [Pending(event.data.order_id) for event in events]

    @pick.answer(key="order_id", files="CONF*.DAT")
    def picked(self, answer: Confirmation) -> Picked:
        """As many as were there."""
        return Picked(order_id=answer.order_id, quantity=answer.quantity)


def test_the_events_of_one_file_are_answered_one_by_one(tmp_path: Path) -> None:
    """They are owed their replies once the file is dropped, not while they are gathered."""
    site = Site(tmp_path)
    with running(Runs, site) as harness:
        publish(harness, "00001", "00002")
        wait(lambda: harness.ledger.counts().get(State.HELD) == 2, "two are gathered")
        assert harness.ledger.answer_counts() == (0, 0)
        publish(harness, "00003")
        wait(lambda: harness.ledger.answer_counts() == (3, 0), "three replies are owed")
        assert [path.name for path in site.drop.iterdir()] == ["RUN001.TXT"]
        site.deliver("CONF1.DAT", confirmations(("00003", 5), ("00001", 1)))
        found = {reply.data.order_id: (reply.causation_id, reply.data.quantity) for reply in harness.replies(2)}
        assert found == {"00003": ("00003", 5), "00001": ("00001", 1)}
        assert [owed.key for owed in harness.ledger.owed(10)] == ["00002"]


def publish(harness: AdaptorHarness, *orders: str) -> None:
    """Events whose ids are their orders."""
    for order in orders:
        harness.publish(event_of(PickOrdered(order_id=order), id=order))
