"""Batch: when the events that are gathered for one file are cut, as an adaptor's class declares it."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from adapter_sdk.errors import ConfigError
from adaptors.files.business_day import BusinessDay

_EVERY_DAY = BusinessDay()
_LONGEST_REST = 366  # days without business that BusinessDay allows


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """When a file of many events is cut: at whatever comes first.

    `count` is how many events one file has at most, and cuts it. So do `bytes`, the size that the gathered messages
    have together as the ledger keeps them; a file that would still be larger than that becomes several. `after` is
    seconds since the first event arrived. `at` is a daily cut-off, by the clocks and on the days of `day`: what arrived
    before it does not share a file with what came later. One of `after` and `at` must be given, so that no event waits
    for ever. Where nothing is left to be cut at a cut-off there is no file, or with `empty="file"` one that
    the handler makes of an empty list. Raises ConfigError with every fault.
    """

    count: int = 1000
    bytes: int | None = None
    after: float | None = None
    at: time | None = None
    day: BusinessDay = _EVERY_DAY
    empty: Literal["none", "file"] = "none"

    def __post_init__(self) -> None:
        least = {"count": self.count, "bytes": self.bytes, "after": self.after}
        faults = [
            f"Batch: {name} is {value}; give a number above 0"
            for name, value in least.items()
            if value is not None and value <= 0
        ]
        if self.after is None and self.at is None:
            faults.append("Batch: give `after` or `at`; with `count` alone the last events would wait for ever")
        if self.at is not None and self.at.tzinfo is not None:
            faults.append("Batch: `at` has a time zone; give that of `day`, as in BusinessDay('Europe/Zurich')")
        if self.empty not in ("none", "file"):
            faults.append(f'Batch: empty is {self.empty!r}; give "none" or "file"')
        if self.empty == "file" and self.at is None:
            faults.append("Batch: an empty file is made at a cut-off; give `at`")
        if faults:
            raise ConfigError(*faults)

    def last_cut_off(self, now: float) -> float | None:
        """When the last daily cut-off was; None if there is none."""
        if self.at is None:
            return None
        zone = ZoneInfo(self.day.zone)
        today = datetime.fromtimestamp(now, zone).date()
        for back in range(_LONGEST_REST):
            day = today - timedelta(days=back)
            moment = datetime.combine(day, self.at, zone).timestamp()
            if moment <= now and self.day.of(datetime.combine(day, time.min, zone)) == day:
                return moment
        return None

    def described(self) -> str:
        """The same in a sentence."""
        cuts = [f"{self.count} events"]
        if self.bytes is not None:
            cuts.append(f"{self.bytes} bytes")
        if self.after is not None:
            cuts.append(f"{self.after:g} s")
        if self.at is not None:
            cuts.append(f"at {self.at:%H:%M} {self.day.zone}" + ("" if self.day.weekends else " on working days"))
        empty = "; an empty file at a cut-off before which nothing arrived" if self.empty == "file" else ""
        return f"events into one file, cut after {', '.join(cuts)}, whatever comes first{empty}"
