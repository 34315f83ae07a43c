"""What `adaptor dead` and `adaptor doubt` share: choosing rows of the ledger and showing them."""

import base64
import getpass
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click

from adapter_sdk.cli.common import FAILED, App, echo_json, echo_table, fail, show_time
from adapter_sdk.events import Key
from adapter_sdk.ledger.base import Decision, Entry, Ledger, State
from adapter_sdk.ledger.codec import pack_json
from adapter_sdk.transport.base import Transport

ids_argument = click.argument("ids", nargs=-1, metavar="[EVENT_ID]...")
source_option = click.option("--source", help="Source of the event, where several have the same id.")
who_option = click.option("--who", default=getpass.getuser, show_default="you", help="Who decides; kept in the ledger.")
_NAMES = {State.DEAD: "a dead letter", State.IN_DOUBT: "in doubt"}


@contextmanager
def open_ledger(app: App) -> Iterator[Ledger]:
    """The adaptor's ledger for the time of a command."""
    ledger = app.ledger
    ledger.open()
    try:
        yield ledger
    finally:
        ledger.close()
        app.family.close()


@contextmanager
def open_transport(app: App) -> Iterator[Transport]:
    """A connection to the broker for the time of a command."""
    transport = app.reachable_transport()
    transport.open()
    try:
        yield transport
    finally:
        transport.close()


def decision(what: str, who: str, why: str) -> Decision:
    """A decision made now."""
    return Decision(what=what, who=who, why=why, at=time.time())


def needed(ids: tuple[str, ...], command: str) -> tuple[str, ...]:
    """The ids, of which there must be one at least."""
    if not ids:
        raise click.UsageError(f"which one? Give EVENT_ID; `adaptor {command} list` shows them")
    return ids


def one_entry(ledger: Ledger, event_id: str, source: str | None, state: State | None) -> Entry:
    """The row of an event, in `state` unless that is None. Ends the command with a sentence if it is not there."""
    found = [entry for entry in ledger.lookup(event_id) if source in (None, entry.key.source)]
    wanted = [entry for entry in found if state in (None, entry.state)]
    if len(wanted) > 1:
        sources = ", ".join(entry.key.source for entry in wanted)
        fail(FAILED, f"several events have the id {event_id}; give --source, one of: {sources}")
    if not wanted:
        known = f"its state is {', '.join(entry.state for entry in found)}" if found else "the ledger does not know it"
        fail(FAILED, f"{event_id} is not {_NAMES[state] if state else 'there'}: {known}")
    return wanted[0]


def behind(app: App, ledger: Ledger, entries: list[Entry]) -> dict[Key, int]:
    """How many events are held behind each of these that has a place in a line."""
    if app.adaptor._gathering is not None:
        return {}
    passed = {State.DEAD} if app.adaptor.on_dead == "continue" else set()
    return {
        entry.key: 0 if entry.state in passed else ledger.held(behind=entry.place)
        for entry in entries
        if entry.place is not None
    }


def show_list(entries: list[Entry], held: Mapping[Key, int], as_json: bool, limit: int) -> None:
    """One line per event. `entries` is one more than `limit` where the rest is left out, and that is said then.

    `held` is how many are held behind which of them, for those of ordered adaptors.
    """
    if len(entries) > limit:
        entries = entries[:limit]
        click.echo(f"these are the oldest {limit}; --limit shows more", err=True)
    if as_json:
        echo_json([entry_document(entry, held) for entry in entries])
        return
    columns = ["SET ASIDE", "EVENT ID", "TYPE", "TRIES", *(["BEHIND IT"] if held else []), "REASON", "ERROR"]
    rows = [
        [
            *(show_time(entry.updated_at), entry.key.id, entry.type or "-", entry.attempts),
            *([held.get(entry.key, "-")] if held else []),
            *(entry.reason, _gist(entry)),
        ]
        for entry in entries
    ]
    echo_table(columns, rows)


def show_entries(entries: list[Entry], held: Mapping[Key, int], as_json: bool) -> None:
    """Everything known of each event, with the original message, and how many are held behind it."""
    if as_json:
        echo_json([{**entry_document(entry, held), "message": _message(entry)} for entry in entries])
        return
    for entry in entries:
        _show(entry, held)


def report(done: list[tuple[Entry, bool]], as_json: bool, verb: str) -> None:
    """What was done with each event; exit status 1 if one was no longer as it had been."""
    if as_json:
        name = verb.rstrip(":").replace(" ", "_")
        echo_json([{"id": entry.key.id, "source": entry.key.source, name: ok} for entry, ok in done])
    elif not done:
        click.echo("nothing to do")
    else:
        for entry, ok in done:
            click.echo(f"{verb} {entry.key.id}" if ok else f"{entry.key.id}: no longer {_NAMES[entry.state]}")
    if not all(ok for _, ok in done):
        click.get_current_context().exit(FAILED)


def entry_document(entry: Entry, held: Mapping[Key, int]) -> dict[str, Any]:
    """A row of the ledger as JSON."""
    return {
        "id": entry.key.id,
        "source": entry.key.source,
        "type": entry.type,
        "subject": entry.subject,
        "correlation_id": entry.correlation_id,
        "state": entry.state,
        "reason": entry.reason,
        "error": entry.error,
        "attempts": entry.attempts,
        "received_at": show_time(entry.received_at),
        "updated_at": show_time(entry.updated_at),
        "due_at": show_time(entry.due_at) if entry.due_at else None,
        "order_key": entry.place.order_key if entry.place else None,
        "held_behind_it": held.get(entry.key),
        "evidence": json.loads(pack_json(entry.evidence)) if entry.evidence else None,
        "decisions": [{**asdict(decided), "at": show_time(decided.at)} for decided in entry.decisions],
    }


def _message(entry: Entry) -> dict[str, Any] | None:
    if entry.message is None:
        return None
    message = entry.message
    properties = {name: getattr(message, name) for name in message.__slots__ if name not in ("body", "headers")}
    return {
        **{name: value for name, value in properties.items() if value is not None},
        "headers": json.loads(pack_json(dict(message.headers))),
        "body_base64": base64.b64encode(message.body).decode("ascii"),
    }


def _show(entry: Entry, held: Mapping[Key, int]) -> None:
    facts = {
        **entry_document(entry, held),
        **{f"message {name}": value for name, value in (_message(entry) or {}).items()},
    }
    facts.pop("message body_base64", None)
    if entry.state in (State.DEAD, State.IN_DOUBT):
        facts["set_aside_at"] = facts.pop("updated_at")
    error = facts.pop("error")
    # Where a family keeps what was said in a call that failed, which is for people to read, and not one line.
    failed_call = dict((entry.evidence or {}).get("failed_call", {}))
    texts = {name: failed_call.pop(name, None) for name in ("request", "answer")}
    facts["evidence"] = {name: value for name, value in (facts["evidence"] or {}).items() if name != "failed_call"}
    facts |= {f"failed call {name}": value for name, value in failed_call.items()}
    headers, decisions = facts.pop("message headers", {}), facts.pop("decisions")
    facts |= {f"header {name}": value for name, value in headers.items()}
    facts |= {
        f"decision {number}": f"{decided['what']}, by {decided['who']} at {decided['at']}: {decided['why']}"
        for number, decided in enumerate(decisions, 1)
    }
    for name, value in facts.items():
        if value not in (None, "", {}, []):
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            click.echo(f"{name.replace('_', ' '):<22} {shown}")
    click.echo(f"\nerror\n{error or '-'}")
    for name, text in texts.items():
        if text is not None:
            shown = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
            click.echo(f"\n{name} of the failed call\n{shown or '(empty)'}")
    if entry.message is not None:
        body = entry.message.body
        click.echo(f"\nbody ({len(body)} bytes)\n{body.decode('utf-8', 'backslashreplace')}")


def _gist(entry: Entry) -> str:
    lines = (entry.error or "").strip().splitlines() or [""]
    # A bug is kept with its traceback, whose last line says what it was.
    line = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    return line if len(line) <= 80 else line[:79] + "…"
