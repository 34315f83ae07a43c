"""What the command line shows of order: the promise, who waits behind whom, and where all events are."""

from pathlib import Path

import pytest

from adapter_sdk import Adaptor, Event, Refused, handles
from adapter_sdk.events import Key
from adapter_sdk.ledger.base import ClaimRequest, Record, State
from tests.command import Placed, adaptor, at_work, document, ledger_of
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until


class OrderedScribe(Adaptor):
    """Refuses the order number 2 of everybody."""

    name = "ordered-scribe"
    ordered_by = "subject"

    @handles
    def write(self, event: Event[Placed]) -> None:
        if event.data.order_id.endswith("2"):
            raise Refused("no second orders")


class HastyScribe(OrderedScribe):
    on_dead = "continue"


@pytest.fixture
def folder(fresh_rabbitmq: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the settings of the scribe."""
    monkeypatch.chdir(tmp_path)
    app = "tests.integration.test_cli_order:OrderedScribe"
    (tmp_path / "adaptor.toml").write_text(f'[adaptor]\napp = "{app}"\n[broker]\nurl = "{fresh_rabbitmq.url}"\n')
    adaptor("topology", "apply")
    return tmp_path


def order(id: str, subject: str) -> None:
    """Place an order of this id."""
    data = f'{{"order_id": "{id}"}}'
    adaptor("publish", "--type", "shop.placed", "--source", "/s", "--id", id, "--subject", subject, "--data", data)


def events() -> str:
    """Where all events are, as `adaptor doctor` says it."""
    (says,) = [row["says"] for row in document(adaptor("doctor", "--json"))["checks"] if row["check"] == "events"]
    return str(says)


def test_who_waits_behind_a_dead_letter(folder: Path) -> None:
    """A dead letter is listed and shown with its order key and with how many are held behind it."""
    assert events() == "0 = 0 queued"
    for number in range(1, 5):
        order(f"a{number}", "Ada")
    order("b1", "Bob")
    assert events() == "5 = 5 queued"
    with at_work(folder) as runner:
        wait_until(lambda: runner.ledger.counts() == {State.APPLIED: 2, State.DEAD: 1, State.HELD: 2})
    assert sorted(events().partition(" = ")[2].split(" + ")) == ["0 queued", "1 dead", "2 applied", "2 held"]
    assert events().startswith("5 = ")
    (row,) = document(adaptor("dead", "list", "--json"))
    assert (row["id"], row["order_key"], row["held_behind_it"]) == ("a2", "Ada", 2)
    heading, line = adaptor("dead", "list").stdout.splitlines()
    assert heading.split()[4:8] == ["TYPE", "TRIES", "BEHIND", "IT"]
    assert line.split()[4:6] == ["1", "2"]
    shown = adaptor("dead", "show", "a2").stdout
    assert "order key              Ada" in shown
    assert "held behind it         2" in shown
    adaptor("dead", "discard", "a2", "--why", "Ada has called")
    with at_work(folder) as runner:
        wait_until(lambda: runner.ledger.counts() == {State.APPLIED: 4, State.DISCARDED: 1})


def test_behind_what_is_passed_nobody_waits(folder: Path) -> None:
    """With on_dead = "continue" nothing is held behind a dead letter, and that is what is shown."""
    toml = (folder / "adaptor.toml").read_text().replace("OrderedScribe", "HastyScribe")
    (folder / "adaptor.toml").write_text(toml)
    for number in range(1, 5):
        order(f"a{number}", "Ada")
    with at_work(folder) as runner:
        wait_until(lambda: runner.ledger.counts() == {State.APPLIED: 3, State.DEAD: 1})
    (row,) = document(adaptor("dead", "list", "--json"))
    assert (row["order_key"], row["held_behind_it"]) == ("Ada", 0)


def test_who_waits_behind_a_doubt(folder: Path) -> None:
    """A doubt is listed and shown in the same way; one without an order key, with none."""
    with ledger_of(folder) as ledger:
        for name, order_key in (("a1", "Ada"), ("a2", "Ada"), ("x", None)):
            asked = ClaimRequest(key=Key("/s", name), digest="d" * 64, type="shop.placed", order_key=order_key)
            ((_, entry),) = ledger.claim([asked], 1.0)
            state = State.HELD if name == "a2" else State.IN_DOUBT
            assert ledger.record([Record(key=entry.key, token=entry.token, state=state)], 2.0) == [True]
    rows = {row["id"]: row for row in document(adaptor("doubt", "list", "--json"))}
    assert {name: row["held_behind_it"] for name, row in rows.items()} == {"a1": 1, "x": None}
    assert "held behind it         1" in adaptor("doubt", "show", "a1").stdout
    assert "order key" not in adaptor("doubt", "show", "x").stdout


def test_the_promise(folder: Path) -> None:
    """`adaptor check` says what is promised about order, and nothing where nothing is."""
    said = adaptor("check").stdout
    assert "order    Events with the same subject are applied one after the other, as they arrived; behind" in said
    assert "behind a dead letter or a doubt they wait for a person." in document(adaptor("check", "--json"))["order"]
    hasty = document(adaptor("check", "tests.integration.test_cli_order:HastyScribe", "--json"))["order"]
    assert hasty.endswith("behind a doubt they wait for a person, and past a dead letter they go on.")
    assert document(adaptor("check", "tests.command:Scribe", "--json"))["order"] is None
