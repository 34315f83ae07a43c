"""When a group is due, and the daily cut-off: values in, a decision out."""

import math
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapter_sdk.errors import ConfigError
from adapter_sdk.gathering import Due, due
from adapter_sdk.ledger.base import Gathered
from adaptors.files import Batch, BusinessDay

ZURICH = BusinessDay("Europe/Zurich", weekends=False, holidays=[date(2026, 12, 25)])


def at(text: str, zone: str = "Europe/Zurich") -> float:
    """Seconds since the epoch of a moment by the clocks of a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("gathered", "age", "why"),
    [
        (Gathered(9, 0.0, 99), 899.9, None),
        (Gathered(10, 0.0, 99), 0.0, "count"),
        (Gathered(1, 0.0, 100), 0.0, "bytes"),
        (Gathered(1, 0.0, 1), 900.0, "after"),
        (Gathered(25, 0.0, 500), 1000.0, "count"),
    ],
)
def test_a_group_is_due_at_whatever_comes_first(gathered: Gathered, age: float, why: str | None) -> None:
    """Enough events, enough bytes or enough time make a group due; one less of each does not."""
    found = due(Batch(count=10, bytes=100, after=900), gathered, age, 1000.0)
    assert found == (None if why is None else Due(why, math.inf))


def test_what_came_before_the_cut_off_is_due_without_what_came_after() -> None:
    """At the cut-off, and ever after it, a group is due of what arrived before it: late is not never."""
    batch = Batch(count=10, at=time(18), day=ZURICH)
    cut = at("2026-11-20T18:00")
    gathered = Gathered(2, cut - 0.001, 1)
    assert due(batch, gathered, 99.0, cut - 0.0001) is None
    assert due(batch, gathered, 99.0, cut) == Due("cut-off", cut)
    assert due(batch, gathered, 99.0, cut + 7200) == Due("cut-off", cut)
    assert due(batch, Gathered(2, cut, 1), 99.0, cut + 7200) is None
    assert due(batch, Gathered(10, cut, 1), 99.0, cut + 7200) == Due("count", math.inf)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-11-20T18:00", "2026-11-20T18:00"),
        ("2026-11-20T17:59", "2026-11-19T18:00"),
        ("2026-11-22T20:00", "2026-11-20T18:00"),  # a Sunday: the last one was on Friday
        ("2026-12-25T20:00", "2026-12-24T18:00"),  # a holiday
        ("2026-03-30T17:59", "2026-03-27T18:00"),  # the clocks were put forward between
    ],
)
def test_the_cut_off_follows_the_calendar(now: str, last: str) -> None:
    """The last cut-off was at that time of the last day with business, by the clocks of its zone."""
    assert Batch(at=time(18), day=ZURICH).last_cut_off(at(now)) == at(last)


def test_a_cut_off_in_the_hour_that_is_left_out_still_comes() -> None:
    """02:30 does not exist on the day on which the clocks are put forward; that day has its cut-off all the same."""
    batch = Batch(at=time(2, 30), day=BusinessDay("Europe/Zurich"))
    noon = datetime(2026, 3, 29, 12, tzinfo=UTC).timestamp()
    found = batch.last_cut_off(noon)
    assert found is not None
    assert datetime.fromtimestamp(found, ZoneInfo("Europe/Zurich")).date() == date(2026, 3, 29)


@pytest.mark.parametrize(
    ("declared", "fault"),
    [
        ({"count": 5}, "give `after` or `at`"),
        ({"count": 0, "after": 1}, "count is 0; give a number above 0"),
        ({"bytes": -1, "after": 1}, "bytes is -1; give a number above 0"),
        ({"after": 0}, "after is 0; give a number above 0"),
        ({"after": 1, "empty": "file"}, "an empty file is made at a cut-off; give `at`"),
        ({"at": time(18), "empty": "some"}, "empty is 'some'; give"),
        ({"at": time(18, tzinfo=UTC)}, "`at` has a time zone; give that of `day`"),
    ],
)
def test_a_batch_that_would_never_or_always_be_cut_is_refused(declared: dict[str, Any], fault: str) -> None:
    """What is declared wrong is said when the class is made."""
    with pytest.raises(ConfigError, match=fault):
        Batch(**declared)


def test_how_files_are_cut_is_said_in_a_sentence() -> None:
    """What `adaptor check` prints names every limit."""
    said = Batch(count=500, bytes=1_000_000, after=900, at=time(18), day=ZURICH).described()
    assert said == (
        "events into one file, cut after 500 events, 1000000 bytes, 900 s, at 18:00 Europe/Zurich on working days, "
        "whatever comes first"
    )
