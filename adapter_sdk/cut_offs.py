"""Cut-offs before which nothing arrived: an event of our own stands for one, where an effect is wanted all the same.

It is gathered, claimed and recorded as any other, and so it has its effect once, whatever dies.
"""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from adapter_sdk.envelopes import Limits, open_envelope, write_structured
from adapter_sdk.events import Event, EventData
from adapter_sdk.handlers import HandlerSpec
from adapter_sdk.ledger.base import ClaimRequest

# How long before the cut-off its own event is said to have arrived, in seconds: it belongs to what the cut-off ends.
BEFORE = 0.001


class CutOff(EventData, type="adaptor.cut-off"):
    """A cut-off came, and no event of the type that is the subject had arrived before it."""

    at: datetime


def is_cut_off(event: Event[Any]) -> bool:
    """Whether an event only stands for a cut-off; its handler is not to see it."""
    return isinstance(event.data, CutOff)


def cut_off_request(adaptor: str, event_type: str, at: float) -> ClaimRequest:
    """What asks the ledger to gather the event of a cut-off: the same for every time that it is asked."""
    moment = datetime.fromtimestamp(at, UTC)
    # An event type may be as long as an id may be.
    id_ = f"cut-off {moment:%FT%TZ} {hashlib.sha256(event_type.encode()).hexdigest()[:16]}"
    event = Event(
        source=f"adaptor:{adaptor}", id=id_, type="adaptor.cut-off", subject=event_type, data=CutOff(at=moment)
    )
    message = write_structured(event, "")
    opened = open_envelope(message, Limits())
    return ClaimRequest(
        key=opened.key,
        digest=opened.digest(),
        type=opened.type,
        subject=opened.subject,
        order_key=opened.type,
        gathered=True,
        message=message,
    )


def handler_of_cut_off(handler: HandlerSpec) -> HandlerSpec:
    """The handler of an event type, as it takes the cut-off of that type."""
    options = replace(handler.options, where=None)
    return replace(handler, data_type=CutOff, event_type="adaptor.cut-off", options=options)
