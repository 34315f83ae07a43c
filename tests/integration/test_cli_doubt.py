"""`adaptor doubt` on events whose answer an ERP has lost, with a real RabbitMQ between."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pika
import pytest

from adapter_sdk.events import Key
from adapter_sdk.ledger.base import Decision, Ledger, State
from adapter_sdk.replies import reply_id
from samples.shop.erp.mischief import Mischief, Mode
from samples.shop.erp.server import ErpServer, running
from samples.shop.erp.soap import WSDL_FILE
from tests.command import adaptor, at_work, document, ledger_of
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until

REPLY = {"type": "erp.booked", "data": {"order_id": "o", "numbers": ["ERP-1", "ERP-2"]}}


class Scene:
    """An event in doubt: the ERP has done both calls of the handler, and lost its answer to the second."""

    def __init__(self, url: str, erp: ErpServer, folder: Path) -> None:
        self.erp = erp
        self.folder = folder
        self.channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
        self.channel.exchange_declare("events", "topic", durable=True)
        self.channel.queue_declare("answers", durable=True)
        self.channel.queue_bind("answers", "events", "erp.booked")
        with at_work(folder):
            order = ("--type", "shop.placed", "--source", "/shop", "--id", "o", "--data", '{"order_id": "o"}')
            adaptor("publish", *order)
            wait_until(lambda: [row for row in self.rows() if row["due_at"] is None])

    def rows(self) -> list[dict[str, Any]]:
        """What is in doubt."""
        rows: list[dict[str, Any]] = document(adaptor("doubt", "list", "--json"))
        return rows

    def ordered(self) -> list[str]:
        """The orders in the ERP's books."""
        return [order.order_no for order in self.erp.erp.books.all()]

    def answers(self) -> list[dict[str, Any]]:
        """The replies that have come since the last look."""
        found = []
        while (got := self.channel.basic_get("answers", auto_ack=True))[0] is not None:
            found.append(json.loads(got[2]))
        return found


@pytest.fixture
def scene(fresh_rabbitmq: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The event in doubt, with the adaptor stopped and its settings in the current folder."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        erp = stack.enter_context(running(tmp_path / "books", mischief=Mischief(Mode.LOSE, every=2)))
        (tmp_path / "adaptor.toml").write_text(
            f'[adaptor]\napp = "tests.command:Booker"\n[broker]\nurl = "{fresh_rabbitmq.url}"\n'
            f'[soap]\nwsdl = "{WSDL_FILE}"\nport = "Soap11"\nendpoint = "{erp.url}"\ntimeout = 3\n'
        )
        scene = Scene(fresh_rabbitmq.url, erp, tmp_path)
        yield scene
        scene.channel.connection.close()


@pytest.fixture
def ledger(scene: Scene) -> Iterator[Ledger]:
    """The booker's ledger."""
    with ledger_of(scene.folder) as ledger:
        yield ledger


def test_a_doubt_shows_what_is_known_of_the_call(scene: Scene) -> None:
    """The list and the page name the operation whose answer was lost, and the first, answered call."""
    assert "CreateOrder" in adaptor("doubt", "list").output
    (row,) = document(adaptor("doubt", "show", "o", "--json"))
    assert (row["state"], row["attempts"]) == ("in doubt", 1)
    assert ["answer" in call for call in row["evidence"]["calls"]] == [True, False]
    assert '"order_id": "o"' in adaptor("doubt", "show", "o").output
    assert "o is not a dead letter: its state is in doubt" in adaptor("dead", "replay", "o", status=1).stderr


def test_an_applied_doubt_publishes_the_given_reply(scene: Scene, ledger: Ledger) -> None:
    """The reply has the id that it would have had, the call is not made again, and the ledger keeps who knew it."""
    Path("reply.json").write_text(json.dumps(REPLY))
    command = ("doubt", "resolve", "o", "--applied", "--reply", "reply.json", "--why", "in the books", "--who", "ann")
    assert document(adaptor(*command, "--json")) == [{"id": "o", "source": "/shop", "applied": True}]
    (answer,) = wait_until(scene.answers)
    assert answer["id"] == reply_id("booker", Key("/shop", "o"), 0)
    assert answer["data"] == REPLY["data"]
    assert scene.ordered() == ["oA", "oB"]
    entry = ledger.get(Key("/shop", "o"))
    assert entry is not None
    assert (entry.state, entry.unsent, entry.decisions[-1].who) == (State.APPLIED, False, "ann")
    assert "o is not in doubt: its state is applied" in adaptor(*command, status=1).stderr


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ({"type": "erp.burnt", "data": {}}, "one of the types erp.booked"),
        ({"type": "erp.booked", "data": {"order_id": "o"}}, "numbers"),
        ([REPLY, REPLY], "gives one reply, and here are 2"),
        (None, "promises Booked"),
    ],
)
def test_a_wrong_reply_decides_nothing(scene: Scene, reply: object, sentence: str) -> None:
    """A reply that the handler could not give, or none where it promises one, leaves the doubt, with status 1."""
    given = ("--reply", "-") if reply is not None else ()
    command = ("doubt", "resolve", "o", "--applied", "--why", "in the books", *given)
    assert sentence in adaptor(*command, status=1, stdin=json.dumps(reply).encode()).stderr
    assert [row["id"] for row in scene.rows()] == ["o"]
    assert scene.answers() == []


def test_a_doubt_that_was_not_applied_is_tried_again(scene: Scene) -> None:
    """The handler runs anew and repeats the call in doubt, never the one that was answered."""
    scene.erp.erp.turns.set(Mischief())
    resolved = adaptor("doubt", "resolve", "o", "--not-applied", "--why", "not in the books", "--json")
    assert document(resolved) == [{"id": "o", "source": "/shop", "not_applied": True}]
    with at_work(scene.folder):
        (answer,) = wait_until(scene.answers)
    assert answer["data"]["order_id"] == "o"
    # The ERP had done the second call, whatever the person said: only that one was asked for again.
    assert scene.ordered() == ["oA", "oB", "oB"]


def test_a_person_who_comes_second_is_told(scene: Scene, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another decides between the look and the act, nothing is published, and the status is 1."""
    key, first = Key("/shop", "o"), Decision(what="applied", who="bob", why="quicker", at=1.0)
    look = ledger.lookup

    def decided_meanwhile(event_id: str) -> Any:
        found = look(event_id)
        ledger.settle_applied(key, first, ())
        return found

    monkeypatch.setattr(type(ledger), "lookup", lambda _, event_id: decided_meanwhile(event_id))
    said = adaptor("doubt", "resolve", "o", "--not-applied", "--why", "late", status=1).output
    assert said == "o: no longer in doubt\n"
    entry = ledger.get(key)
    assert entry is not None
    assert [made.who for made in entry.decisions] == ["bob"]
