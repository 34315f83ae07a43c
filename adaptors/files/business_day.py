"""The business day that an event belongs to, by the calendar of the legacy system and not by ours."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adapter_sdk.errors import ConfigError

_FRIDAY = 4  # as date.weekday() counts
_LONGEST_REST = 366  # days in a row without business; more is a mistake in the holidays


@dataclass(frozen=True, slots=True)
class BusinessDay:
    """Which day `{business_date:...}` of a file name is, from the time of the event.

    The day is that of the clocks in `zone` ("Europe/Zurich"). What happens at `ends` or later belongs to the next day.
    Without `weekends`, what would fall on a Saturday or Sunday belongs to the Monday; what would fall on one of
    `holidays` to the day after. Raises ConfigError for an unknown zone.
    """

    zone: str = "UTC"
    ends: time | None = None
    weekends: bool = True
    holidays: Collection[date] = ()

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(f"BusinessDay: the time zone {self.zone!r} is not known on this machine") from error

    def of(self, moment: datetime) -> date:
        """The business day of a moment, which has a time zone."""
        local = moment.astimezone(ZoneInfo(self.zone))
        day = local.date()
        if self.ends is not None and local.time() >= self.ends:
            day += timedelta(days=1)
        for _ in range(_LONGEST_REST):
            if day not in self.holidays and (self.weekends or day.weekday() <= _FRIDAY):
                return day
            day += timedelta(days=1)
        raise ConfigError(f"BusinessDay: there is no business day within a year from {local.date()}")
