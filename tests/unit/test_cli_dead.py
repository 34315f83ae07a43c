"""`adaptor dead` on a local ledger, without a broker."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapter_sdk.events import Key
from adapter_sdk.ledger.base import Entry, Ledger, State
from tests.command import adaptor, dead_letter, document, ledger_of


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The scribe's ledger, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adaptor.toml").write_text('[adaptor]\napp = "tests.command:Scribe"\n')
    with ledger_of(tmp_path) as ledger:
        yield ledger


def set_aside(ledger: Ledger, *entries: Entry) -> None:
    """Dead letters in the ledger."""
    for entry in entries:
        ledger.set_aside(entry)


def test_the_list_shows_each_dead_letter_in_one_line(ledger: Ledger) -> None:
    """A line has id, reason and error, whatever line ends the error has."""
    set_aside(ledger, dead_letter("a"), dead_letter("b\nc", reason="malformed event"))
    header, *lines = adaptor("dead", "list").output.splitlines()
    assert header.split() == ["SET", "ASIDE", "EVENT", "ID", "TYPE", "TRIES", "REASON", "ERROR"]
    assert len(lines) == 2
    assert "refused" in lines[0]
    assert "b c" in lines[1]
    assert [row["id"] for row in document(adaptor("dead", "list", "--json"))] == ["a", "b\nc"]


def test_a_list_that_is_cut_says_so(ledger: Ledger) -> None:
    """With more than --limit the oldest are shown and a line on standard error says that there are others."""
    set_aside(ledger, *(replace(dead_letter(f"r{number}"), updated_at=float(number)) for number in range(3)))
    cut = adaptor("dead", "list", "--limit", "2", "--json")
    assert [row["id"] for row in document(cut)] == ["r0", "r1"]
    assert cut.stderr == "these are the oldest 2; --limit shows more\n"
    assert adaptor("dead", "list", "--limit", "3").stderr == ""


def test_the_list_by_reason_counts_all(ledger: Ledger) -> None:
    """Counting is not cut off by --limit, and the most frequent reason stands first."""
    set_aside(ledger, *(dead_letter(f"r{number}") for number in range(3)), dead_letter("m", reason="malformed event"))
    counted = adaptor("dead", "list", "--by-reason", "--limit", "1").output.splitlines()
    assert [line.split(maxsplit=1) for line in counted[1:]] == [["3", "refused"], ["1", "malformed event"]]
    assert document(adaptor("dead", "list", "--by-reason", "--json")) == {"refused": 3, "malformed event": 1}
    assert [row["id"] for row in document(adaptor("dead", "list", "--json", "--reason", "malformed event"))] == ["m"]


def test_show_writes_the_body_byte_for_byte(ledger: Ledger) -> None:
    """What is not text, and what ends without a line end, comes out of --body as it went in."""
    body = bytes(range(256)) + b"\r\n\x00"
    set_aside(ledger, dead_letter("a", body=body))
    assert adaptor("dead", "show", "a", "--body").stdout_bytes == body


def test_show_says_all_that_is_known(ledger: Ledger) -> None:
    """The error, the reason and the message's properties are there for people and, in one document, for programs."""
    set_aside(ledger, dead_letter("a"))
    shown = adaptor("dead", "show", "a").output
    for part in ("refused", "a is not welcome", "message routing key", '"order_id": "a"'):
        assert part in shown
    (row,) = document(adaptor("dead", "show", "a", "--json"))
    assert (row["state"], row["message"]["routing_key"]) == ("dead", "shop.placed")


def test_show_is_written_for_people(ledger: Ledger) -> None:
    """Headers and decisions have a line each, other values are JSON, and only what was set aside is said to be."""
    entry = dead_letter("a")
    assert entry.message is not None
    message = replace(entry.message, headers={"x-shop": "main", "x-tags": {"colour": ["red", None]}})
    set_aside(ledger, replace(entry, message=message, evidence={"number": 7}))
    shown = adaptor("dead", "show", "a").output
    for line in ("set aside at ", "header x-shop          main", 'header x-tags          {"colour": ["red", null]}',
                 'evidence               {"number": 7}'):  # fmt: skip
        assert f"\n{line}" in shown
    adaptor("dead", "discard", "a", "--who", "ann", "--why", "no such order")
    shown = adaptor("dead", "show", "a").output
    assert "set aside" not in shown
    assert "\nupdated at " in shown
    assert "\ndecision 1             discard, by ann at 20" in shown


def test_show_has_what_was_said_in_the_failed_call(ledger: Ledger) -> None:
    """Request and answer stand on lines of their own as they were, and what is not text is shown all the same."""
    failed_call = {"operation": "Book", "status": 500, "request": "<a>\n</a>", "answer": b"<b>\xe9</b>"}
    set_aside(ledger, replace(dead_letter("a"), evidence={"calls": [], "failed_call": failed_call}))
    shown = adaptor("dead", "show", "a").output
    assert "failed call operation  Book\n" in shown
    assert "\nrequest of the failed call\n<a>\n</a>\n\nanswer of the failed call\n<b>\\xe9</b>\n" in shown
    (row,) = document(adaptor("dead", "show", "a", "--json"))
    assert row["evidence"]["failed_call"]["request"] == "<a>\n</a>"


def test_one_id_of_two_sources_asks_which(ledger: Ledger) -> None:
    """An id alone is never guessed at: the sources are named, and --source chooses."""
    set_aside(ledger, dead_letter("a", source="/shop"), dead_letter("a", source="/till"))
    said = adaptor("dead", "discard", "a", "--why", "test", status=1).stderr
    assert "give --source, one of: /shop, /till" in said
    adaptor("dead", "discard", "a", "--source", "/till", "--why", "test")
    states = [ledger.get(Key(source, "a")) for source in ("/shop", "/till")]
    assert [entry.state for entry in states if entry] == [State.DEAD, State.DISCARDED]


def test_a_discarded_event_keeps_who_and_why(ledger: Ledger) -> None:
    """A discard is kept with its person, and a second one says what the event is now, with status 1."""
    set_aside(ledger, dead_letter("a"))
    assert document(adaptor("dead", "discard", "a", "--why", "nobody needs it", "--who", "ann", "--json")) == [
        {"id": "a", "source": "/shop", "discarded": True}
    ]
    (row,) = document(adaptor("dead", "show", "a", "--json"))
    assert [(made["what"], made["who"], made["why"]) for made in row["decisions"]] == [
        ("discard", "ann", "nobody needs it")
    ]
    again = adaptor("dead", "discard", "a", "--why", "again", status=1).stderr
    assert "a is not a dead letter: its state is discarded" in again


def test_all_asks_first_and_without_a_terminal_wants_yes(ledger: Ledger) -> None:
    """Nothing is done to all dead letters unless a person, or --yes, says so."""
    set_aside(ledger, dead_letter("a"), dead_letter("b"), dead_letter("m", reason="malformed event"))
    said = adaptor("dead", "discard", "--all", "--why", "test", status=2).stderr
    assert "would discard 3; there is no terminal to ask: give --yes" in said
    assert ledger.counts() == {State.DEAD: 3}
    adaptor("dead", "discard", "--all", "--reason", "refused", "--yes", "--why", "test")
    assert ledger.counts() == {State.DEAD: 1, State.DISCARDED: 2}
    assert adaptor("dead", "discard", "--all", "--reason", "refused", "--yes", "--why", "t").output == "nothing to do\n"


@pytest.mark.parametrize("command", [("show",), ("replay",), ("discard", "--why", "test")])
def test_a_command_without_an_event_is_wrong_usage(ledger: Ledger, command: tuple[str, ...]) -> None:
    """It says where the ids are."""
    assert "`adaptor dead list` shows them" in adaptor("dead", *command, status=2).stderr


def test_an_unknown_event_is_said_to_be_unknown(ledger: Ledger) -> None:
    """Status 1, and no event is touched."""
    assert "ghost is not there: the ledger does not know it" in adaptor("dead", "show", "ghost", status=1).stderr


def test_a_conflicting_event_is_not_replayed(ledger: Ledger) -> None:
    """It would be a dead letter again at once, so it is refused with what can be done instead, before any broker."""
    set_aside(ledger, dead_letter("a#1", reason="conflicting event"))
    said = adaptor("dead", "replay", "a#1", status=1).stderr
    assert "a#1 is not replayed" in said
    assert "discard it, or have the producer send it under an id of its own" in said
    assert ledger.counts() == {State.DEAD: 1}


def test_a_ledger_that_nobody_has_made_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking does not make a ledger: the command says that there is none, with status 4."""
    monkeypatch.chdir(tmp_path)
    said = adaptor("dead", "list", "--app", "tests.command:Scribe", status=4).stderr
    assert "the adaptor makes it when it first runs" in said
    assert list(tmp_path.iterdir()) == []
