"""SoapFamily: effects through a SOAP service, each call written down before it leaves."""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import structlog

from adapter_sdk.errors import AdaptorError, BackendUnavailable, ConfigError, InDoubt
from adapter_sdk.family import Claim, Failed, Family, Outcome
from adapter_sdk.handlers import HandlerSpec
from adapter_sdk.ledger.base import Journal
from adaptors.soap.contract import Contract, UnknownOperation
from adaptors.soap.journal import CallJournal, FailedCalls, LedgerCalls, NoCallJournal, answered_calls
from adaptors.soap.notes import SharedNotes
from adaptors.soap.outcome import FaultMapping
from adaptors.soap.service import Backend, SoapService, doubt_of, make_backend
from adaptors.soap.settings import SoapSettings
from adaptors.soap.typed import TypedContract, typed_backend

_log = structlog.get_logger(__name__)

# The name space of our message ids (RFC 9562, section 5.5); any constant would do, but it must never change.
_MESSAGE_IDS = uuid.UUID("6a3a4a6e-31d5-5d0c-9f0e-5d7a3c1c8e42")


class SoapFamily(Family[SoapService]):
    """One SOAP service behind an adaptor.

    Before a call leaves, the ledger's row says CALLING; when its answer has been read, the row keeps it. So an event
    whose process died in between is in doubt, and a handler of several calls makes none of the answered ones again.
    Operations in `queries` have no effect: they are neither written down nor ever in doubt.
    """

    promise = (
        "At most one unverified attempt: a call whose answer is lost leaves the event in doubt, to be settled by"
        " `verify`, by sending it again if it is idempotent, or by a person."
    )
    # Enough to share the ledger's commits; calls are made one after the other, and a larger share would keep other
    # workers idle.
    batch_limit: ClassVar[int] = 16

    def __init__(self, settings: SoapSettings, faults: FaultMapping, queries: Collection[str]) -> None:
        self._settings = settings
        self._faults = faults
        self._queries = queries
        self._made: Backend | None = None
        self._typed: dict[type, Backend] = {}
        self._notes: SharedNotes | None = None

    def check(self) -> list[str]:
        """Faults of the WSDL, its schemas, the port and the names that the adaptor declares."""
        try:
            contract = self._backend().contract
        except ConfigError as error:
            return list(error.faults)
        named = [(contract, name, "queries") for name in self._queries]
        for view in filter(None, dict.fromkeys(handler.view for handler in self.adaptor._handlers.values())):
            typed = TypedContract(contract, view)
            named += [(typed, name, view.__name__) for name in typed.operations]
        return [fault for contract, name, whence in named if (fault := _unknown(contract, name, whence))]

    def longest_call(self, handler: HandlerSpec) -> float:
        """The total deadline of one call."""
        return handler.options.timeout or self._settings.timeout

    def open(self) -> None:
        """Read the WSDL if that has not been done, and see that the service can be reached."""
        faults = self.check()
        if faults:
            raise ConfigError(*faults)
        backend = self._backend()
        if self._settings.endpoint is None:
            _log.warning("no endpoint is set; the address in the WSDL is used", endpoint=backend.http.name)
        if backend.http.can_be_overheard and (secrets := self._settings.secrets_sent):
            _log.warning("secrets are sent in clear", endpoint=backend.http.name, settings=secrets)
        for name in self._faults:
            if name.startswith("{") and not backend.contract.knows_detail(name):
                _log.warning("a fault is mapped that the WSDL does not know", fault=name)
        backend.http.probe()

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made.http.close()

    def probe(self) -> None:
        """Connect to the service and hang up."""
        self._backend().http.probe()

    def apply(self, claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
        """Make the calls of several events, one after the other, until the service cannot be reached."""
        outcomes: list[Outcome] = []
        for claim in claims:
            last = outcomes[-1] if outcomes else None
            is_down = isinstance(last, Failed) and isinstance(last.error, BackendUnavailable)
            outcomes.append(last if last and is_down else self.apply_one(claim, journal))
        return outcomes

    @contextmanager
    def handle(self, claim: Claim, journal: Journal | None) -> Iterator[SoapService]:
        """The service, with this event's record of calls. What `verify` calls has no effect to record."""
        # An effect that may be repeated needs no record: it is asked for again, whole.
        recorded: CallJournal = NoCallJournal()
        if journal is not None:
            kind = FailedCalls if claim.handler.options.idempotent else LedgerCalls
            recorded = kind(self._notes_in(journal), claim)
        service = SoapService(
            self._backend_behind(claim.handler.view),
            journal=recorded,
            message_id=lambda step: _message_id(claim, step),
            timeout=claim.handler.options.timeout,
            only_asks=journal is None,
        )
        try:
            yield service
        except AdaptorError:
            raise
        except Exception as error:
            if (doubt := doubt_of(service)) is not None:
                raise InDoubt(f"{doubt} The handler then failed: {type(error).__name__}: {error}") from error
            raise

    def without_doubt(self, evidence: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The doubtful call did not happen. The calls before it were answered, and stay."""
        return {"calls": answered_calls(evidence)}

    def _notes_in(self, journal: Journal) -> SharedNotes:
        notes = self._notes
        if notes is None or notes.journal is not journal:
            notes = self._notes = SharedNotes(journal)
        return notes

    def _backend_behind(self, view: type | None) -> Backend:
        if view is None:
            return self._backend()
        if view not in self._typed:
            self._typed[view] = typed_backend(self._backend(), view)
        return self._typed[view]

    def _backend(self) -> Backend:
        if self._made is None:
            self._made = make_backend(self._settings, self._faults, self._queries)
        return self._made


def _message_id(claim: Claim, step: str) -> str:
    identity = "\n".join((claim.event.source, claim.event.id, step))
    return f"urn:uuid:{uuid.uuid5(_MESSAGE_IDS, identity)}"


def _unknown(contract: Contract, name: str, whence: str) -> str | None:
    try:
        contract.check_operation(name)
    except UnknownOperation as error:
        return f"{whence}: {error}"
    return None
