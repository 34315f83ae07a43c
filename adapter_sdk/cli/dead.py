"""`adaptor dead`: the dead letters in the ledger."""

import base64
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from adapter_sdk.cli.common import FAILED, App, app_options_with_ids, echo_json, echo_table, fail, show_time
from adapter_sdk.ledger.base import Entry, Ledger, State
from adapter_sdk.ledger.codec import pack_json

_ids = click.argument("ids", nargs=-1, metavar="[EVENT_ID]...")
_source = click.option("--source", help="Source of the event, where several have the same id.")
_all = click.option("--all", "everything", is_flag=True, help="All dead letters, or all with --reason.")
_reason = click.option("--reason", help="Only dead letters set aside for this reason.")
_yes = click.option("--yes", is_flag=True, help="Do not ask; needed with --all where there is no terminal.")


@click.group()
def dead() -> None:
    """Events that were set aside in the ledger, with the reason, for a person."""


@dead.command("list")
@_reason
@click.option("--by-reason", is_flag=True, help="Count them by reason.")
@click.option("--limit", default=100, show_default=True, help="How many at most.")
@app_options_with_ids
def list_command(app: App, as_json: bool, reason: str | None, by_reason: bool, limit: int) -> None:
    """List dead letters, oldest first."""
    with _open(app) as ledger:
        entries = _select(ledger, reason, limit)
        if by_reason:
            counted = Counter(entry.reason for entry in entries)
            _show_counts(counted, as_json)
            return
    if as_json:
        echo_json([_as_json(entry) for entry in entries])
        return
    rows = [
        (show_time(entry.updated_at), entry.key.id, entry.type or "-", entry.attempts, entry.reason, _first_line(entry))
        for entry in entries
    ]
    echo_table(("SET ASIDE", "EVENT ID", "TYPE", "TRIES", "REASON", "ERROR"), rows)


@dead.command()
@_ids
@_source
@click.option("--body", is_flag=True, help="Write the original message body, byte for byte, and nothing else.")
@app_options_with_ids
def show(app: App, as_json: bool, ids: tuple[str, ...], source: str | None, body: bool) -> None:
    """Show dead letters: reason, error, attempts, and the original message with its properties."""
    with _open(app) as ledger:
        entries = [_one(ledger, event_id, source, any_state=True) for event_id in _needed(ids)]
    for entry in entries:
        if body:
            sys.stdout.buffer.write(entry.message.body if entry.message else b"")
        elif not as_json:
            _show(entry)
    if as_json and not body:
        echo_json([{**_as_json(entry), "message": _message(entry)} for entry in entries])


@dead.command()
@_ids
@_source
@_all
@_reason
@_yes
@app_options_with_ids
def replay(
    app: App, as_json: bool, ids: tuple[str, ...], source: str | None, everything: bool, reason: str | None, yes: bool
) -> None:
    """Put dead letters back to work, with all their attempts anew. What was applied is never applied again."""
    from adapter_sdk.deadletters import replay as replay_one

    with _open(app) as ledger:
        entries = _chosen(ledger, ids, source, everything, reason, yes, "replay")
        transport = app.reachable_transport()
        transport.open()
        try:
            done = [(entry, replay_one(ledger, transport, app.adaptor.name, entry.key)) for entry in entries]
        finally:
            transport.close()
    _report(done, as_json, "replayed")


@dead.command()
@_ids
@_source
@_all
@_reason
@_yes
@click.option("--why", required=True, help="Why it is closed; kept in the ledger.")
@app_options_with_ids
def discard(
    app: App,
    as_json: bool,
    ids: tuple[str, ...],
    source: str | None,
    everything: bool,
    reason: str | None,
    yes: bool,
    why: str,
) -> None:
    """Close dead letters for good. They stay in the ledger, so that a repeated event is still a duplicate."""
    with _open(app) as ledger:
        entries = _chosen(ledger, ids, source, everything, reason, yes, "discard")
        done = [(entry, ledger.discard(entry.key, time.time(), why)) for entry in entries]
    _report(done, as_json, "discarded")


@contextmanager
def _open(app: App) -> Iterator[Ledger]:
    ledger = app.ledger
    ledger.open()
    try:
        yield ledger
    finally:
        ledger.close()
        app.family.close()


def _select(ledger: Ledger, reason: str | None, limit: int) -> list[Entry]:
    found = ledger.find([State.DEAD], limit if reason is None else 1_000_000)
    return [entry for entry in found if reason is None or entry.reason == reason][:limit]


def _needed(ids: tuple[str, ...]) -> tuple[str, ...]:
    if not ids:
        raise click.UsageError("which one? Give EVENT_ID; `adaptor dead list` shows them")
    return ids


def _one(ledger: Ledger, event_id: str, source: str | None, *, any_state: bool = False) -> Entry:
    found = [entry for entry in ledger.lookup(event_id) if source in (None, entry.key.source)]
    wanted = [entry for entry in found if any_state or entry.state is State.DEAD]
    if len(wanted) > 1:
        sources = ", ".join(entry.key.source for entry in wanted)
        fail(FAILED, f"several events have the id {event_id}; give --source, one of: {sources}")
    if not wanted:
        states = ", ".join(entry.state for entry in found)
        known = f"its state is {states}" if found else "the ledger does not know it"
        fail(FAILED, f"{event_id} is not a dead letter: {known}")
    return wanted[0]


def _chosen(
    ledger: Ledger,
    ids: tuple[str, ...],
    source: str | None,
    everything: bool,
    reason: str | None,
    yes: bool,
    verb: str,
) -> list[Entry]:
    if not everything:
        return [_one(ledger, event_id, source) for event_id in _needed(ids)]
    entries = _select(ledger, reason, 1_000_000)
    if entries and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(f"--all would {verb} {len(entries)}; there is no terminal to ask: give --yes")
        click.confirm(f"{verb} {len(entries)} dead letter(s)?", abort=True)
    return entries


def _report(done: list[tuple[Entry, bool]], as_json: bool, verb: str) -> None:
    if as_json:
        echo_json([{"id": entry.key.id, "source": entry.key.source, verb: ok} for entry, ok in done])
    else:
        for entry, ok in done:
            click.echo(f"{verb} {entry.key.id}" if ok else f"{entry.key.id}: no longer a dead letter")
    if not all(ok for _, ok in done):
        click.get_current_context().exit(FAILED)


def _show_counts(counted: Counter[str | None], as_json: bool) -> None:
    if as_json:
        echo_json(dict(counted))
    else:
        echo_table(("COUNT", "REASON"), [(count, reason) for reason, count in counted.most_common()])


def _as_json(entry: Entry) -> dict[str, Any]:
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
        "set_aside_at": show_time(entry.updated_at),
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


def _show(entry: Entry) -> None:
    facts = {**_as_json(entry), **{f"message {name}": value for name, value in (_message(entry) or {}).items()}}
    facts.pop("message body_base64", None)
    error = facts.pop("error")
    for name, value in facts.items():
        if value not in (None, "", {}):
            click.echo(f"{name.replace('_', ' '):<22} {value}")
    click.echo(f"\nerror\n{error or '-'}")
    if entry.message is not None:
        body = entry.message.body
        click.echo(f"\nbody ({len(body)} bytes)\n{body.decode('utf-8', 'backslashreplace')}")


def _first_line(entry: Entry) -> str:
    lines = (entry.error or "").strip().splitlines() or [""]
    # A bug is kept with its traceback, whose last line says what it was.
    line = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    return line if len(line) <= 80 else line[:79] + "…"
