"""Handlers of a list: what class creation reads of them and refuses, and how one is run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from adapter_sdk import Adaptor, ConfigError, Event, EventData, InvalidReply, NotApplied, Refused, handles
from adapter_sdk.handlers import HandlerSpec
from adapter_sdk.ledger.base import State
from adapter_sdk.testing import AdaptorHarness, event_of
from adapter_sdk.testing.harness import Sections
from adaptors.files import Drop, FileDropAdaptor
from adaptors.soap import SoapAdaptor, SoapService
from adaptors.sql import Connection, SqlAdaptor
from tests.bench import no_logs


class Placed(EventData, type="shop.placed"):
    order_id: str


class Booked(EventData, type="erp.booked"):
    order_id: str


class Short(EventData, type="erp.short"):
    order_id: str


def spec_of(events: Any, returned: Any) -> HandlerSpec:
    """What class creation learns of one handler with these annotations."""

    class Made(SqlAdaptor):
        name = "made"

        @handles
        def take(self, events: events, db: Connection) -> returned:
            return None

    return Made._handlers["shop.placed"]


BOOKED, SHORT = Booked(order_id="1"), Short(order_id="2")


class TestAnnotations:
    @pytest.mark.parametrize(
        ("returned", "replies", "silent"),
        [
            (None, (), True),
            (list[Booked], (Booked,), False),
            (list[Booked | None], (Booked,), True),
            (list[Booked | Short], (Booked, Short), False),
            (list[Booked | Short | None], (Booked, Short), True),
        ],
    )
    def test_what_is_said_of_each_event(self, returned: Any, replies: tuple[type, ...], silent: bool) -> None:
        """The spec says of one event what the annotations say of a list."""
        spec = spec_of(list[Event[Placed]], returned)
        assert spec.takes_list
        assert (spec.data_type, spec.replies, spec.replies_in_list, spec.may_be_silent) == (
            Placed,
            replies,
            False,
            silent,
        )

    def test_one_event_is_no_list(self) -> None:
        """A handler of one event is not called with a list."""
        assert not spec_of(Event[Placed], None).takes_list

    @pytest.mark.parametrize(
        ("events", "returned", "why"),
        [
            (list, None, r"write `events: list\[Event\[YourData\]\]`"),
            (list[Placed], None, r"write `events: list\[Event\[YourData\]\]`"),
            (list[Event[Placed]], Booked, "returns Booked; a handler of a list returns a list"),
            (list[Event[Placed]], list[Booked] | None, "a handler of a list returns a list"),
            (list[Event[Placed]], tuple[Booked, ...], "a handler of a list returns a list"),
            (list[Event[Placed]], list[str], "str is not event data"),
        ],
    )
    def test_faults(self, events: Any, returned: Any, why: str) -> None:
        """A fault names class, method and line, and says what to write."""
        with pytest.raises(ConfigError, match=rf"Made\.take \(.*test_list_handlers\.py:\d+\): .*{why}"):
            spec_of(events, returned)

    def test_a_handler_without_return_annotation(self) -> None:
        """As any handler, one of a list says what it returns."""

        def take(self: object, events: list[Event[Placed]], db: Connection):  # type: ignore[no-untyped-def]
            return None

        with pytest.raises(ConfigError, match="has no return annotation"):
            type("Made", (SqlAdaptor,), {"name": "made", "take": handles(take)})

    @pytest.mark.parametrize(("base", "handle"), [(Adaptor, None), (FileDropAdaptor, Drop), (SoapAdaptor, SoapService)])
    def test_other_families_refuse_it(self, base: type[Adaptor], handle: type | None) -> None:
        """Where effects are not made together, a list is a fault of the class."""

        def take(self: object, events: object) -> None:
            return None

        def take_with_handle(self: object, events: object, handle: object) -> None:
            return None

        function: Callable[..., None] = take_with_handle if handle else take
        function.__annotations__ = {"events": list[Event[Placed]], "handle": handle, "return": None}
        with pytest.raises(ConfigError, match=r"Made\.take.*\(.*\): takes a list; a handler of this base takes one"):
            type("Made", (base,), {"name": "made", "file_name": "{key}", "take": handles(function)})

    def test_a_verify_is_asked_about_one_event(self) -> None:
        """`verify` of a handler of a list takes one event; a list is a fault of the class."""

        def take(self: object, events: list[Event[Placed]], db: Connection) -> None:
            return None

        def ask(self: object, event: list[Event[Placed]], db: Connection) -> NotApplied:
            return NotApplied()

        handler = handles(take)
        handler.verify(ask)
        with pytest.raises(ConfigError, match=r"Made\.ask .*is asked about one event"):
            type("Made", (SqlAdaptor,), {"name": "made", "take": handler})


class TestReplies:
    @pytest.mark.parametrize(
        ("annotation", "returned", "replies"),
        [
            (None, None, [(), ()]),
            (list[Booked | Short | None], [BOOKED, None], [(BOOKED,), ()]),
            (list[Booked | Short | None], [SHORT, BOOKED], [(SHORT,), (BOOKED,)]),
        ],
    )
    def test_as_declared(self, annotation: Any, returned: object, replies: list[tuple[EventData, ...]]) -> None:
        """Each event gets the reply that stands in its place, or none."""
        assert spec_of(list[Event[Placed]], annotation).check_list(returned, 2) == replies

    @pytest.mark.parametrize(
        ("annotation", "returned", "why"),
        [
            (list[Booked], None, "returned None for 2 events"),
            (list[Booked], BOOKED, "returned a Booked for 2 events"),
            (list[Booked], [BOOKED], "returned a list of 1 for 2 events"),
            (list[Booked], [BOOKED] * 3, "returned a list of 3 for 2 events"),
            (list[Booked], [BOOKED, None], "returned None; its annotation promises Booked"),
            (list[Booked], [BOOKED, SHORT], "returned a Short; its annotation promises Booked"),
            (None, [BOOKED, BOOKED], "returned a Booked; its annotation promises None"),
        ],
    )
    def test_other_than_declared(self, annotation: Any, returned: object, why: str) -> None:
        """A list of another length, or with another reply in it, never leaves."""
        with pytest.raises(InvalidReply, match=why):
            spec_of(list[Event[Placed]], annotation).check_list(returned, 2)


class Stock(SqlAdaptor):
    name = "stock"
    calls: list[int] = []

    @handles
    def pick(self, events: list[Event[Placed]], db: Connection) -> list[Booked | None]:
        self.calls.append(len(events))
        orders = [event.data.order_id for event in events]
        db.execute(text("INSERT INTO picks VALUES (:id)"), [{"id": order} for order in orders])
        if "bad" in orders:
            raise Refused("bad is among them")
        return [None if order == "quiet" else Booked(order_id=order) for order in orders]

    @pick.verify(settle=1)
    def was_picked(self, event: Event[Placed], db: Connection) -> Booked | NotApplied:
        found = db.scalar(text("SELECT id FROM picks WHERE id = :id"), {"id": event.data.order_id})
        return Booked(order_id=found) if found else NotApplied()


class LocalStock(Stock):
    """The same where no table may be added."""

    name = "local-stock"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with an empty table."""
    Stock.calls.clear()
    engine = create_engine(f"sqlite:///{tmp_path / 'stock.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE picks (id VARCHAR(20) UNIQUE)"))
    engine.dispose()
    return f"sqlite:///{tmp_path / 'stock.db'}"


ORDERS = [*(str(number) for number in range(40)), "bad", "quiet", *(str(number) for number in range(40, 80))]


class TestRunning:
    def test_a_harness_runs_one(self, url: str) -> None:
        """Each event of a list is applied once and answered in its turn; a bad one fails in a list of its own."""
        events = [event_of(Placed(order_id=order)) for order in ORDERS]
        sections: Sections = {"sql": {"url": url}, "runner": {"concurrency": 1}}
        with no_logs(), AdaptorHarness(Stock, sections) as harness:
            harness.publish(*events)
            harness.wait_until_settled()
            replies = harness.replies(80)
            assert harness.ledger.counts() == {State.APPLIED: 81, State.DEAD: 1}
            dead = harness.wait_for(events[ORDERS.index("bad")], State.DEAD)
        assert dead.reason == "refused"
        assert {reply.data.order_id for reply in replies} == set(ORDERS) - {"bad", "quiet"}
        assert all(reply.causation_id in {event.id for event in events} for reply in replies)
        assert max(Stock.calls) > 10
        assert 1 in Stock.calls

    def test_with_the_ledger_elsewhere(self, url: str) -> None:
        """Where a list would spread doubts, the handler is called with lists of one."""
        sections: Sections = {"sql": {"url": url, "ledger": "local"}, "runner": {"concurrency": 1}}
        with no_logs(), AdaptorHarness(LocalStock, sections) as harness:
            harness.publish(*(event_of(Placed(order_id=order)) for order in "abc"))
            harness.wait_until_settled()
            assert harness.ledger.counts() == {State.APPLIED: 3}
        assert Stock.calls == [1, 1, 1]
