"""`adaptor owed`: replies that wait for an answer of the legacy system."""

import math
import time

import click

from adapter_sdk.cli.common import FAILED, App, app_options_with_ids, echo_json, echo_table, fail, show_time
from adapter_sdk.cli.entries import decision, ids_argument, needed, open_ledger, source_option, who_option
from adapter_sdk.ledger.owing import Owed

_EVERY = 1_000_000


@click.group()
def owed() -> None:
    """Events that were applied and whose reply comes with a later answer."""


@owed.command("list")
@click.option("--overdue", is_flag=True, help="Only those whose time has passed.")
@click.option("--limit", default=100, show_default=True, help="How many at most.")
@app_options_with_ids
def list_command(app: App, as_json: bool, overdue: bool, limit: int) -> None:
    """List replies that are owed, longest first, with the key that the answer has to carry."""
    now = time.time()
    with open_ledger(app) as ledger:
        found = ledger.owed(limit + 1, due_before=now if overdue else math.inf)
        count, _ = ledger.answer_counts()
    if len(found) > limit:
        found = found[:limit]
        click.echo(f"these are the oldest {limit} of {count}; --limit shows more", err=True)
    if as_json:
        echo_json([_document(reply, now) for reply in found])
        return
    rows = [(show_time(reply.since), reply.key, reply.event.id, reply.event_type, _due(reply, now)) for reply in found]
    echo_table(("OWED SINCE", "KEY", "EVENT ID", "TYPE", "DUE"), rows)


@owed.command()
@ids_argument
@source_option
@who_option
@click.option("--why", required=True, help="Why no answer will come; kept in the ledger.")
@app_options_with_ids
def discard(app: App, as_json: bool, ids: tuple[str, ...], source: str | None, who: str, why: str) -> None:
    """Wait no longer for the answers to these events. An answer that comes all the same is then a dead letter."""
    wanted = needed(ids, "owed")
    decided = decision("wait no longer", who, why)
    with open_ledger(app) as ledger:
        known = ledger.owed(_EVERY)
        chosen = [reply for reply in known if reply.event.id in wanted and source in (None, reply.event.source)]
        if missing := [id_ for id_ in wanted if id_ not in {reply.event.id for reply in chosen}]:
            fail(FAILED, *(f"{id_} is owed no reply; `adaptor owed list` shows which are" for id_ in missing))
        done = [(reply, ledger.give_up(reply, decided)) for reply in chosen]
    if as_json:
        echo_json([{"id": reply.event.id, "key": reply.key, "discarded": ok} for reply, ok in done])
    else:
        for reply, ok in done:
            click.echo(f"discarded {reply.event.id}, key {reply.key}" if ok else f"{reply.event.id} is answered now")
    if not all(ok for _, ok in done):
        click.get_current_context().exit(FAILED)


def _due(reply: Owed, now: float) -> str:
    if reply.due_at is None:
        return "-"
    return f"{show_time(reply.due_at)}{' OVERDUE' if reply.due_at < now else ''}"


def _document(reply: Owed, now: float) -> dict[str, object]:
    return {
        "key": reply.key,
        "id": reply.event.id,
        "source": reply.event.source,
        "type": reply.event_type,
        "subject": reply.subject,
        "correlation_id": reply.correlation_id,
        "reply_id": reply.reply_id,
        "since": show_time(reply.since),
        "due_at": show_time(reply.due_at) if reply.due_at else None,
        "overdue": reply.due_at is not None and reply.due_at < now,
    }
