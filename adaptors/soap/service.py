"""SoapService: the handle that a handler is given. Its attributes are the operations of the WSDL."""

import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog

from adapter_sdk.crashpoints import reach
from adapter_sdk.errors import AdaptorError, ConfigError, InDoubt
from adaptors.soap.contract import Contract, Request
from adaptors.soap.exhibit import exhibit_of
from adaptors.soap.faults import SoapFault
from adaptors.soap.http import HttpEndpoint
from adaptors.soap.journal import CallJournal, Exhibit, NoCallJournal
from adaptors.soap.outcome import FaultMapping, decide
from adaptors.soap.record import Answer, CallRecord, Phase
from adaptors.soap.redactor import Redactor
from adaptors.soap.response import HttpError
from adaptors.soap.security import Security
from adaptors.soap.settings import SoapSettings
from adaptors.soap.tls import tls_of

T = TypeVar("T")

_log = structlog.get_logger(__name__)

# While lxml reads or compiles, it puts its own loader of documents in the place of libxml2's, for the whole process. A
# thread that ends such a step takes it away from one that is in the middle, whose schemas then lack what they import.
_reading = threading.Lock()


@dataclass(frozen=True, slots=True)
class Backend:
    """What all services of one adaptor share. `timeout` is in seconds; `queries` name operations without an effect."""

    contract: Contract
    http: HttpEndpoint
    security: Security
    redactor: Redactor
    timeout: float
    faults: FaultMapping = field(default_factory=dict)
    queries: Collection[str] = ()


def make_backend(settings: SoapSettings, faults: FaultMapping, queries: Collection[str]) -> Backend:
    """The backend that the settings describe; nothing is connected yet. Raises ConfigError."""
    broken: list[str] = []
    security = _made(lambda: Security(settings), broken)
    tls = _made(lambda: tls_of(settings), broken)
    with _reading:
        contract = _made(lambda: Contract(settings, security), broken)
    if security is None or tls is None or contract is None:
        raise ConfigError(*broken)
    http = HttpEndpoint(contract.endpoint, settings, tls)
    return Backend(contract, http, security, Redactor(settings), settings.timeout, faults, queries)


def _made(make: Callable[[], T], faults: list[str]) -> T | None:
    """What `make` makes, or None with its faults added to the others'."""
    try:
        return make()
    except ConfigError as error:
        faults += error.faults
        return None


def _random_id(step: str) -> str:
    return f"urn:uuid:{uuid.uuid4()}"


class SoapService:
    """The operations of a SOAP service, called by name: `erp.CreateOrder(OrderNo="4711", Total=Decimal("9.90"))`.

    An operation takes what zeep takes, keyword arguments with dicts and lists inside, and returns zeep's parsed answer.
    The request is validated before anything leaves. Errors say what became of the call: InvalidData and other
    PermanentErrors (not sent, cannot be), BackendUnavailable (not sent), Reject and Refused (turned away),
    TransientError (turned away for now), InDoubt (sent, and no readable answer), or what the adaptor's `faults` name.

    Made by the family, one for each run of a handler, or by `connect` for use by hand. Not for sharing between threads.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        journal: CallJournal | None = None,
        message_id: Callable[[str], str] = _random_id,
        timeout: float | None = None,
        only_asks: bool = False,
    ) -> None:
        self._backend = backend
        self._journal = journal or NoCallJournal()
        self._message_id = message_id
        self._timeout = timeout or backend.timeout
        self._only_asks = only_asks
        self._steps = 0
        self._doubt: InDoubt | None = None

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if operation.startswith("_"):
            raise AttributeError(operation)
        self._backend.contract.check_operation(operation)
        if self._only_asks or operation in self._backend.queries:
            return lambda *args, **kwargs: self._ask(operation, args, kwargs)
        return lambda *args, **kwargs: self._effect(operation, args, kwargs)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._backend.contract.operations]

    def _ask(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = self._backend.contract.build(operation, args, kwargs, _random_id(operation))
        call = _Call(operation, self._backend)
        call.make(request, self._timeout)
        if (error := call.error(only_asks=True)) is not None:
            self._journal.unanswered(call.exhibit(request))
            raise error from call.cause
        return call.value

    def _effect(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._steps += 1
        step = self._steps
        message_id = self._message_id(f"{step}:{operation}")
        request = self._backend.contract.build(operation, args, kwargs, message_id)
        call = _Call(operation, self._backend)
        earlier = self._journal.answer_of(step, request.digest)
        if earlier is not None:
            call.replay(earlier)
        else:
            self._journal.calling(step, operation, request.digest, message_id)
            reach("soap.calling")
            call.make(request, self._timeout)
        error = call.error(only_asks=False)
        if isinstance(error, InDoubt):
            self._doubt = error
        if earlier is None:
            self._note(step, call, error, request)
        if error is not None:
            raise error from call.cause
        return call.value

    def _note(self, step: int, call: "_Call", error: AdaptorError | None, request: Request) -> None:
        """Write down what became of a call."""
        if isinstance(error, InDoubt):
            self._journal.in_doubt(step, call.exhibit(request))
        elif error is not None:
            self._journal.not_applied(step, call.exhibit(request))
        elif call.answer is not None:
            self._journal.answered(step, call.answer)
            reach("soap.noted")


def doubt_of(service: SoapService) -> InDoubt | None:
    """The doubt that a call of this service left, whatever the handler made of it."""
    return service._doubt


class _Call:
    """One call in progress: the record of how far it came, and what it brought."""

    def __init__(self, operation: str, backend: Backend) -> None:
        self.record = CallRecord(operation, backend.http.name)
        self.answer: Answer | None = None
        self.value: Any = None
        self.cause: Exception | None = None
        self._backend = backend

    def make(self, request: Request, timeout: float) -> None:
        """Send the request and read the answer, within `timeout` seconds."""
        started = time.monotonic()
        try:
            self.answer = self._backend.http.post(request.body, request.headers, self.record, timeout)
            reach("soap.answered")
            if self._is_genuine(self.answer):
                self._read(self.answer)
        except HttpError as error:
            self._failed(error)
        record = self.record
        _log.debug(
            "soap call",
            operation=record.operation,
            phase=str(record.phase),
            status=record.status,
            bytes_sent=record.bytes_sent,
            bytes_received=record.bytes_received,
            seconds=round(time.monotonic() - started, 4),
            fault=record.fault.code if record.fault else None,
            failure=record.failure,
        )

    def replay(self, answer: Answer) -> None:
        """Read an answer that an earlier attempt received."""
        self.record.phase = Phase.PARSE
        self.record.status = answer.status
        self._read(answer)

    def exhibit(self, request: Request) -> Exhibit:
        """What is kept of the call if it failed."""
        return exhibit_of(self.record, request.body, self._backend.redactor)

    def error(self, *, only_asks: bool) -> AdaptorError | None:
        """What the call amounts to."""
        return decide(self.record, self._backend.faults, only_asks=only_asks)

    def _is_genuine(self, answer: Answer) -> bool:
        """Whether the answer is signed, where it has to be. Asked when it comes, not of what the ledger gives back."""
        try:
            self._backend.security.check(answer)
        except Exception as error:  # noqa: BLE001  # for whatever reason: what cannot be checked is not believed
            self._failed(error)
            return False
        return True

    def _read(self, answer: Answer) -> None:
        try:
            value = self._backend.contract.read(self.record.operation, answer)
        except Exception as error:  # noqa: BLE001  # for whatever reason: what was answered and not read is in doubt
            self._failed(error)
            return
        if isinstance(value, SoapFault):
            redacted = self._backend.redactor.text
            self.record.fault = replace(
                value, reason=redacted(value.reason), detail_xml=value.detail_xml and redacted(value.detail_xml)
            )
        else:
            self.value = value

    def _failed(self, error: Exception) -> None:
        self.cause = error
        self.record.failure = self._backend.redactor.text(str(error)) or type(error).__name__


@contextmanager
def connect(
    settings: SoapSettings, *, faults: FaultMapping | None = None, queries: Collection[str] = ()
) -> Iterator[SoapService]:
    """A service for use by hand, in a script or a shell: no event, no ledger, nothing remembered.

    Raises ConfigError if the WSDL or a setting is wrong.
    """
    backend = make_backend(settings, faults or {}, queries)
    try:
        yield SoapService(backend)
    finally:
        backend.http.close()
