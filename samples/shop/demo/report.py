"""The demo's result, as a table for people and as JSON for programs."""

import json
from datetime import datetime
from typing import Any

import click

from adapter_sdk.cli.common import echo_table
from adapter_sdk.ledger.base import Entry, State
from samples.shop.demo.play import Result
from samples.shop.demo.story import Chapter


def show(result: Result) -> None:
    """Print what became of every event, what was set aside and why, and where to look."""
    click.echo(f"\nWhat the shop sent, and what the legacy systems made of it ({result.broker}):\n")
    echo_table(("EVENT", "SENT AS", "ERP", "STOCK", "WAREHOUSE", "REPLIES"), _rows(result))
    click.echo("\nAnswered later, by files that the warehouse left when it had picked:\n")
    echo_table(("ORDER", "REPLY", "AFTER"), _answered(result))
    click.echo("\nSet aside in the ledgers, for a person:\n")
    echo_table(("ADAPTOR", "EVENT", "REASON", "WHY"), [_aside(name, entry) for name, entry in _set_aside(result)])
    click.echo("\nWhere to look:\n")
    echo_table(("WHAT", "WHERE"), list(_places(result).items()))
    lost, twice = ", ".join(result.lost) or "none", ", ".join(result.twice) or "none"
    click.echo(f"\nLost: {lost}. Done twice: {twice}. {result.seconds:.1f} s.")


def as_document(result: Result) -> str:
    """The same as one JSON document."""
    columns = ("event", "sent_as", "erp", "stock", "warehouse", "replies")
    events = [dict(zip(columns, row, strict=True)) for row in _rows(result)]
    aside = [
        {"adaptor": name, "event": entry.key.id, "state": entry.state, "reason": entry.reason, "error": entry.error}
        for name, entry in _set_aside(result)
    ]
    document: dict[str, Any] = {
        "broker": result.broker,
        "events": events,
        "answered_later": [dict(zip(("order", "reply", "after"), row, strict=True)) for row in _answered(result)],
        "set_aside": aside,
        "replies": result.replies,
        "places": _places(result),
        "lost": result.lost,
        "done_twice": result.twice,
        "seconds": round(result.seconds, 1),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _rows(result: Result) -> list[tuple[str, ...]]:
    seen: set[str] = set()
    rows = []
    for chapter in result.chapters:
        rows.append(_repeated(result, chapter) if chapter.event_id in seen else _row(result, chapter))
        seen.add(chapter.event_id)
    return rows


def _row(result: Result, chapter: Chapter) -> tuple[str, ...]:
    if not chapter.order_id:
        return ("(unreadable)", chapter.what, "-", "-", "-", "-")
    types = [reply["type"] for reply in result.replies if reply["data"]["order_id"] == chapter.order_id]
    return (
        chapter.event_id,
        chapter.what,
        _erp(result, chapter),
        _stock(result, chapter),
        _warehouse(result, chapter),
        ", ".join(sorted(kind.removeprefix("com.") for kind in types)) or "-",
    )


def _repeated(result: Result, chapter: Chapter) -> tuple[str, ...]:
    """A duplicate is recognised where the legacy systems show its order once."""
    twice = [name for name in result.twice if name.endswith(chapter.order_id)]
    again = "done again!" if twice else "duplicate, not done again"
    return (chapter.event_id, chapter.what, again, again, "-", "-")


def _erp(result: Result, chapter: Chapter) -> str:
    numbers = [order["number"] for order in result.orders if order["order_no"] == chapter.order_id]
    entry = _entry(result, "erp", chapter)
    if not numbers:
        return "refused" if entry and entry.state is State.DEAD else "-"
    asked = ", asked after doubt" if entry and entry.attempts > 1 and chapter.scene == "answer-lost" else ""
    return f"booked {len(numbers)}x: {', '.join(numbers)}{asked}"


def _stock(result: Result, chapter: Chapter) -> str:
    lines = result.reservations.get(chapter.order_id, [])
    if lines:
        return "reserved " + ", ".join(f"{quantity} {sku}" for sku, quantity in lines)
    entry = _entry(result, "stock", chapter)
    return "short, none reserved" if entry and entry.state is State.APPLIED else "-"


def _warehouse(result: Result, chapter: Chapter) -> str:
    picks = [pick for pick in result.picks if pick["order_id"] == chapter.order_id]
    return f"picked {len(picks)}x: " + ", ".join(pick["file"] for pick in picks) if picks else "-"


def _answered(result: Result) -> list[tuple[str, str, str]]:
    """What the warehouse has said in files of its own, and how long after the pick list was ordered."""
    events = {entry.key.id: entry for entry in result.entries["warehouse"]}
    rows = []
    for reply in result.replies:
        if reply["type"].startswith("com.warehouse."):
            after = datetime.fromisoformat(reply["time"]).timestamp() - events[reply["causationid"]].received_at
            rows.append((reply["data"]["order_id"], reply["type"].removeprefix("com."), f"{after:.1f} s"))
    return sorted(rows)


def _entry(result: Result, adaptor: str, chapter: Chapter) -> Entry | None:
    return next((entry for entry in result.entries[adaptor] if entry.key.id == chapter.event_id), None)


def _set_aside(result: Result) -> list[tuple[str, Entry]]:
    return [
        (name, entry)
        for name, entries in result.entries.items()
        for entry in entries
        if entry.state in (State.DEAD, State.IN_DOUBT)
    ]


def _aside(name: str, entry: Entry) -> tuple[str, str, str, str]:
    return (name, entry.key.id, str(entry.reason), (entry.error or "").splitlines()[0])


def _places(result: Result) -> dict[str, str]:
    folder = result.folder
    return {
        "the ERP's books": str(folder / "erp"),
        "the stock database": str(folder / "stock.db"),
        "the warehouse's answers": str(folder / "warehouse-out" / "done"),
        "the warehouse's log": str(folder / "warehouse.log"),
        "ledgers of ERP and warehouse": f"{folder / 'erp.ledger'}, {folder / 'warehouse.ledger'}",
        "ledger of the stock": "the table adaptor_ledger in the stock database",
        "the adaptors' log lines": str(folder / "adaptors.log"),
    }
