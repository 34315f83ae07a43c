"""`adaptor doubt`: events whose effect may or may not have happened."""

import time
from pathlib import Path

import click

from adapter_sdk.cli.common import App, app_options_with_ids, parsed_json, read_input
from adapter_sdk.cli.entries import (
    behind,
    decision,
    ids_argument,
    needed,
    one_entry,
    open_ledger,
    open_transport,
    report,
    show_entries,
    show_list,
    source_option,
    who_option,
)
from adapter_sdk.ledger.base import State


@click.group()
def doubt() -> None:
    """Events whose request went out and whose answer never came. Ask the legacy system, then say what it did."""


@doubt.command("list")
@click.option("--limit", default=100, show_default=True, help="How many at most.")
@app_options_with_ids
def list_command(app: App, as_json: bool, limit: int) -> None:
    """List events in doubt, oldest first. Those with a due time wait for `verify`; the others wait for you."""
    with open_ledger(app) as ledger:
        entries = ledger.find([State.IN_DOUBT], limit + 1)
        show_list(entries, behind(app, ledger, entries), as_json, limit)


@doubt.command()
@ids_argument
@source_option
@app_options_with_ids
def show(app: App, as_json: bool, ids: tuple[str, ...], source: str | None) -> None:
    """Show events in doubt: what is known of the native call, and the message with its properties."""
    wanted = needed(ids, "doubt")
    with open_ledger(app) as ledger:
        entries = [one_entry(ledger, event_id, source, State.IN_DOUBT) for event_id in wanted]
        held = behind(app, ledger, entries)
    show_entries(entries, held, as_json)


@doubt.command()
@ids_argument
@source_option
@click.option("--applied", is_flag=True, help="The legacy system did it. The reply, if there is one, is in --reply.")
@click.option("--not-applied", is_flag=True, help="It did not do it: the event gets all its attempts anew.")
@click.option(
    "--reply",
    type=click.Path(path_type=Path, allow_dash=True),
    help='With --applied: a file with {"type": ..., "data": {...}}, or a list of them; - is standard input.',
)
@who_option
@click.option("--why", required=True, help="How you know; kept in the ledger.")
@app_options_with_ids
def resolve(
    app: App,
    as_json: bool,
    ids: tuple[str, ...],
    source: str | None,
    applied: bool,
    not_applied: bool,
    reply: Path | None,
    who: str,
    why: str,
) -> None:
    """Decide about events in doubt, after looking into the legacy system. The decision is kept with who and why."""
    from adapter_sdk.interventions import replies_by_hand, settle_applied, settle_not_applied

    if applied == not_applied or (reply is not None and not applied):
        raise click.UsageError("say --applied, with --reply if the event has one, or --not-applied")
    wanted = needed(ids, "doubt")
    given = parsed_json(str(reply), read_input(reply)) if reply is not None else None
    decided = decision("applied" if applied else "not applied", who, why)
    done = []
    with open_ledger(app) as ledger:
        entries = [one_entry(ledger, event_id, source, State.IN_DOUBT) for event_id in wanted]
        # Every reply is looked at before the first event is decided.
        sealed = [replies_by_hand(app.adaptor, entry, given, time.time()) for entry in entries] if applied else []
        with open_transport(app) as transport:
            exchange = app.settings.broker.exchange
            for number, entry in enumerate(entries):
                if applied:
                    ok = settle_applied(ledger, transport, exchange, entry, sealed[number], decided)
                else:
                    ok = settle_not_applied(ledger, transport, app.family, entry, decided)
                done.append((entry, ok))
    report(done, as_json, f"{decided.what}:")
