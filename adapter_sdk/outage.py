"""Telling the world about an outage of the backend: one `backend.down` event, one `backend.up` event."""

import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from adapter_sdk.envelopes import write_structured
from adapter_sdk.errors import BackendUnavailable, BrokerError, ConfigError
from adapter_sdk.events import Event, EventData
from adapter_sdk.transport.base import Message, Transport

log = structlog.get_logger("adaptor")


class BackendDown(EventData, type="backend.down"):
    """The adaptor has stopped consuming because its backend cannot be reached."""

    adaptor: str
    error: str


class BackendUp(EventData, type="backend.up"):
    """The backend works again; `seconds` is how long it did not."""

    adaptor: str
    seconds: float


class Outage:
    """Notices when the backend of an adaptor goes and when it is back, and publishes one event for each.

    An event that the broker cannot take at that moment goes out with the next one that it can. Nobody needs to listen:
    an event that no queue wants is dropped.
    """

    def __init__(
        self, adaptor: str, exchange: str, transport: Transport, clock: Callable[[], float] = time.time
    ) -> None:
        self._adaptor = adaptor
        self._exchange = exchange
        self._transport = transport
        self._clock = clock
        self._since: float | None = None
        self._unsent: list[Message] = []
        self._lock = threading.Lock()

    def began(self, error: BackendUnavailable) -> None:
        """The backend could not be reached. Only the first call of an outage says so."""
        with self._lock:
            if self._since is None:
                self._since = time.monotonic()
                log.error("backend down", adaptor=self._adaptor, error=str(error))
                self._announce(BackendDown(adaptor=self._adaptor, error=str(error)))

    def ended(self) -> None:
        """The backend has done something. Only the first call after an outage says so."""
        if self._since is None:  # the usual case takes no lock
            return
        with self._lock:
            if self._since is not None:
                seconds = round(time.monotonic() - self._since, 3)
                self._since = None
                log.info("backend up", adaptor=self._adaptor, seconds=seconds)
                self._announce(BackendUp(adaptor=self._adaptor, seconds=seconds))

    def _announce(self, data: BackendDown | BackendUp) -> None:
        event = Event(
            source=f"/adaptors/{self._adaptor}",
            id=str(uuid.uuid4()),
            type=str(data.event_type),
            subject=self._adaptor,
            time=datetime.fromtimestamp(self._clock(), UTC),
            data=data,
        )
        self._unsent.append(write_structured(event, self._exchange))
        try:
            self._transport.open()
            self._transport.publish(self._unsent)
        except (BrokerError, ConfigError) as error:  # before the first session there may be no exchange
            log.warning("not announced yet", adaptor=self._adaptor, event_type=event.type, error=str(error))
        else:
            self._unsent.clear()
