"""Events for unit tests of handlers."""

import uuid
from datetime import datetime
from typing import TypeVar

from adapter_sdk.errors import ConfigError
from adapter_sdk.events import Event, EventData, ExtensionValue

DataT = TypeVar("DataT", bound=EventData)


def event_of(
    data: DataT,
    *,
    id: str | None = None,
    source: str = "/test",
    subject: str | None = None,
    time: datetime | None = None,
    **extensions: ExtensionValue,
) -> Event[DataT]:
    """An event around `data`, as a handler is given it. Without `id` it gets a new one, so that it is no duplicate.

    Further keywords are extension attributes: `event_of(data, correlationid="order-1")`. Raises ConfigError if the
    class of `data` has no event type.
    """
    if data.event_type is None:
        raise ConfigError(f'{type(data).__name__} has no event type; write `class {type(data).__name__}(…, type="…")`')
    return Event(
        source=source,
        id=id or str(uuid.uuid4()),
        type=data.event_type,
        data=data,
        subject=subject,
        time=time,
        extensions=extensions,
    )
