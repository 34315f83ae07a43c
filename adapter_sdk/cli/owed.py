"""`adaptor owed`: replies that wait for an answer of the legacy system."""

import math
import time

import click

from adapter_sdk.cli.common import App, app_options, echo_json, echo_table, show_time
from adapter_sdk.cli.entries import open_ledger
from adapter_sdk.ledger.owing import Owed


@click.group()
def owed() -> None:
    """Events that were applied and whose reply comes with a later answer."""


@owed.command("list")
@click.option("--overdue", is_flag=True, help="Only those whose time has passed.")
@click.option("--limit", default=100, show_default=True, help="How many at most.")
@app_options
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
