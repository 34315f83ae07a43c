"""What is gathered, in the ledger's own table: which events wait for others, and which are given out together."""

import sys

from adapter_sdk.ledger.base import Entry, Gathered
from adapter_sdk.ledger.database import Rows
from adapter_sdk.ledger.schema import ENDED, IN_LINE
from adapter_sdk.ledger.table import Table

# What may be worked on at `:now`: all that is held, and retries whose time has come.
_GATHERED = (
    f"{IN_LINE} AND message IS NOT NULL AND (state = 'held' "
    "OR (state = 'waiting' AND (due_at IS NULL OR due_at <= :now OR updated_at > :now)))"
)
# What seems to have arrived over a day after `:now` came when the clock was wrong: it waits for no cut-off to come.
_ARRIVED = "CASE WHEN received_at > :now + 86400 THEN 0 ELSE received_at END"
_BEGUN = f"{IN_LINE} AND message IS NOT NULL AND state IN ('claimed', 'staged', 'calling')"


def gathered(rows: Rows, adaptor: str, now: float) -> dict[str, Gathered]:
    """What is gathered and may be worked on, by event type."""
    found = rows.fetch(
        f"SELECT type, COUNT(*), MIN({_ARRIVED}), SUM(LENGTH(message)) FROM adaptor_ledger "
        f"WHERE adaptor = :adaptor AND {_GATHERED} GROUP BY type",
        {"adaptor": adaptor, "now": now},
    )
    return {row[0]: Gathered(int(row[1]), float(row[2]), int(row[3])) for row in found}


def group(table: Table, type: str, before: float, now: float, limit: int) -> list[Entry]:
    """The gathered events of a type that arrived before a time and may be worked on, in order."""
    # MariaDB has no infinity.
    values = {"type": type, "before": min(before, sys.float_info.max), "now": now, "limit": limit}
    return table.select(f"{_GATHERED} AND type = :type AND {_ARRIVED} < :before ORDER BY arrival LIMIT :limit", values)


def begun(table: Table) -> list[Entry]:
    """The events that somebody has begun and whose messages are here, in order of arrival."""
    return table.select(f"{_BEGUN} ORDER BY arrival", {})


def doubts(table: Table) -> list[Entry]:
    """The events in doubt that are to be asked about and whose messages are here, in order of arrival."""
    asked = f"{IN_LINE} AND message IS NOT NULL AND state = 'in doubt' AND due_at IS NOT NULL"
    return table.select(f"{asked} ORDER BY arrival", {})


def idle_over(rows: Rows, adaptor: str, type: str, cut_off: float) -> bool:
    """Whether there are events from before a cut-off, and since then none of them of this type was applied."""
    values = {"adaptor": adaptor, "type": type, "cut_off": cut_off}
    known = "SELECT 1 FROM adaptor_ledger WHERE adaptor = :adaptor AND received_at < :cut_off"
    since = f"{known} AND {ENDED} AND state = 'applied' AND type = :type AND updated_at >= :cut_off LIMIT 1"
    return not rows.fetch(since, values) and bool(rows.fetch(f"{known} LIMIT 1", values))


def at_work_from_before(rows: Rows, adaptor: str, type: str, cut_off: float) -> bool:
    """Whether events of a type from before a cut-off may yet have their effect, or are for a person since."""
    open_doubt = "(state <> 'in doubt' OR due_at IS NOT NULL OR updated_at >= :cut_off)"
    found = rows.fetch(
        f"SELECT 1 FROM adaptor_ledger WHERE adaptor = :adaptor AND {IN_LINE} AND state <> 'dead' AND {open_doubt} "
        "AND type = :type AND received_at < :cut_off LIMIT 1",
        {"adaptor": adaptor, "type": type, "cut_off": cut_off},
    )
    return bool(found)
