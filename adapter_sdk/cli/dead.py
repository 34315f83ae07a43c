"""`adaptor dead`: the dead letters in the ledger."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from adapter_sdk.cli.common import FAILED, App, app_options_with_ids, echo_json, echo_table, fail
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
from adapter_sdk.ledger.base import Entry, Ledger, State

P = ParamSpec("P")
R = TypeVar("R")

_reason = click.option("--reason", help="Only dead letters set aside for this reason.")
_EVERY = 1_000_000


@dataclass(frozen=True)
class Choice:
    """Which dead letters a command is for: some by their ids, or all of a kind."""

    ids: tuple[str, ...]
    source: str | None
    everything: bool
    reason: str | None
    yes: bool

    def check(self) -> None:
        """Raises UsageError if the options contradict each other."""
        if self.everything and self.ids:
            raise click.UsageError("give EVENT_ID or --all, not both")
        if self.reason is not None and not self.everything:
            raise click.UsageError("--reason chooses among --all; give --all with it")
        if not self.everything:
            needed(self.ids, "dead")

    def entries(self, ledger: Ledger, verb: str) -> list[Entry]:
        """The rows. Asks before it gives all, or wants --yes where nobody can be asked."""
        if not self.everything:
            return [one_entry(ledger, event_id, self.source, State.DEAD) for event_id in self.ids]
        entries = _select(ledger, self.reason, _EVERY)
        if entries and not self.yes:
            if not sys.stdin.isatty():
                raise click.UsageError(f"--all would {verb} {len(entries)}; there is no terminal to ask: give --yes")
            click.confirm(f"{verb} {len(entries)} dead letter(s)?", abort=True)
        return entries


def _choosing(command: Callable[P, R]) -> Callable[P, R]:
    """EVENT_IDs and the options that choose dead letters, in front of a command that takes `choice: Choice`."""

    @ids_argument
    @source_option
    @click.option("--all", "everything", is_flag=True, help="All dead letters, or all with --reason.")
    @_reason
    @click.option("--yes", is_flag=True, help="Do not ask; needed with --all where there is no terminal.")
    @wraps(command)
    def choosing(
        *args: Any,
        ids: tuple[str, ...],
        source: str | None,
        everything: bool,
        reason: str | None,
        yes: bool,
        **kwargs: Any,
    ) -> R:
        choice = Choice(ids, source, everything, reason, yes)
        choice.check()
        return command(*args, choice=choice, **kwargs)  # type: ignore[arg-type]  # from click

    return choosing  # type: ignore[return-value]  # the options replace Choice in the signature


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
    with open_ledger(app) as ledger:
        entries = _select(ledger, reason, _EVERY if by_reason else limit + 1)
        held = {} if by_reason else behind(app, ledger, entries)
    if by_reason:
        _show_counts(Counter(entry.reason for entry in entries), as_json)
    else:
        show_list(entries, held, as_json, limit)


@dead.command()
@ids_argument
@source_option
@click.option("--body", is_flag=True, help="Write the original message body, byte for byte, and nothing else.")
@app_options_with_ids
def show(app: App, as_json: bool, ids: tuple[str, ...], source: str | None, body: bool) -> None:
    """Show events, whatever their state: reason, error, attempts, decisions, and the message with its properties."""
    wanted = needed(ids, "dead")
    with open_ledger(app) as ledger:
        entries = [one_entry(ledger, event_id, source, None) for event_id in wanted]
        held = behind(app, ledger, entries)
    if not body:
        show_entries(entries, held, as_json)
        return
    for entry in entries:
        if entry.message is None:
            fail(FAILED, f"{entry.key.id}: the ledger keeps no message of an event that is {entry.state}")
        sys.stdout.buffer.write(entry.message.body)


@dead.command()
@_choosing
@who_option
@click.option("--why", default="", help="Why it may work now; kept in the ledger.")
@app_options_with_ids
def replay(app: App, as_json: bool, choice: Choice, who: str, why: str) -> None:
    """Put dead letters back to work, with all their attempts anew. What was applied is never applied again.

    A conflicting event cannot be replayed: with --all it is left out and named, and the exit status is 1. An answer
    that was set aside is tried again at once; if no event is owed a reply under its key now, it stays what it is.
    """
    from adapter_sdk.interventions import is_answer, replay_answer, why_not_replayed
    from adapter_sdk.interventions import replay as replay_one

    with open_ledger(app) as ledger:
        entries = choice.entries(ledger, "replay")
        refused = [sentence for entry in entries if (sentence := why_not_replayed(entry))]
        if refused and not choice.everything:
            fail(FAILED, *refused)
        entries = [entry for entry in entries if not why_not_replayed(entry)]
        with open_transport(app) as transport:
            decided = decision("replay", who, why)
            done = []
            for entry in entries:
                if not is_answer(app.adaptor.name, entry):
                    done.append((entry, replay_one(ledger, transport, app.adaptor.name, entry.key, decided)))
                    continue
                refusal = replay_answer(ledger, transport, app.family, app.settings, entry, decided)
                if refusal is None:
                    done.append((entry, True))
                else:
                    refused.append(refusal)
    report(done, as_json, "replayed")
    if refused:
        fail(FAILED, *refused)


@dead.command()
@_choosing
@who_option
@click.option("--why", required=True, help="Why it is closed; kept in the ledger.")
@app_options_with_ids
def discard(app: App, as_json: bool, choice: Choice, who: str, why: str) -> None:
    """Close dead letters for good. They stay in the ledger, so that a repeated event is still a duplicate."""
    with open_ledger(app) as ledger:
        entries = choice.entries(ledger, "discard")
        decided = decision("discard", who, why)
        done = [(entry, ledger.discard(entry.key, decided) is not None) for entry in entries]
    report(done, as_json, "discarded")


def _select(ledger: Ledger, reason: str | None, limit: int) -> list[Entry]:
    found = ledger.find([State.DEAD], limit if reason is None else _EVERY)
    return [entry for entry in found if reason is None or entry.reason == reason][:limit]


def _show_counts(counted: Counter[str | None], as_json: bool) -> None:
    if as_json:
        echo_json(dict(counted))
    else:
        echo_table(("COUNT", "REASON"), [(count, reason) for reason, count in counted.most_common()])
