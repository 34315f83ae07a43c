"""The record of an event's calls, and the family that keeps it, in front of the sample ERP."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.errors import BackendUnavailable, ConfigError, InDoubt, InvalidData, PermanentError, TransientError
from adapter_sdk.events import Event, EventData
from adapter_sdk.family import Applied, Claim, Failed
from adapter_sdk.handlers import handles
from adapter_sdk.ledger.base import Reply, State
from adapter_sdk.verify_methods import NotApplied
from adaptors.soap import Reject, SoapAdaptor, SoapService, SoapSettings, UnknownOperation, connect
from adaptors.soap.family import SoapFamily
from samples.shop.erp.mischief import Mischief, Mode
from samples.shop.erp.server import ErpServer, running
from samples.shop.erp.soap import WSDL_FILE
from tests.journal import NoJournal
from tests.services.waiting import wait_until


class OrderPlaced(EventData, type="com.shop.order.placed"):
    order_id: str
    total: Decimal = Decimal("5.00")


class OrderBooked(EventData, type="com.erp.order.booked"):
    erp_number: str


class Erp(SoapAdaptor):
    name = "erp"
    faults = {"{urn:erp}OrderRefused": Reject}
    queries = ("FindOrder",)

    @handles
    def book(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked:
        return OrderBooked(erp_number=_create(erp, event.data).Number)

    @book.verify()
    def was_booked(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked | NotApplied:
        found = erp.FindOrder(OrderNo=event.data.order_id)
        return OrderBooked(erp_number=found.Number) if found else NotApplied()


def _create(erp: SoapService, data: OrderPlaced, suffix: str = "") -> Any:
    return erp.CreateOrder(OrderNo=data.order_id + suffix, Customer="ACME", Total=data.total)


@pytest.fixture
def erp(tmp_path: Path) -> Iterator[ErpServer]:
    """A running ERP with empty books."""
    with running(tmp_path) as server:
        yield server


@contextmanager
def _family(server: ErpServer, adaptor: type[SoapAdaptor], **values: Any) -> Iterator[SoapFamily]:
    given = {"wsdl": WSDL_FILE, "port": "Soap11", "endpoint": server.url, "timeout": 2.0, **values}
    family = adaptor._family(SoapSettings.model_validate(given))
    family.bind(adaptor())
    yield family
    family.close()


def _is_unreachable(family: SoapFamily) -> bool:
    try:
        family.probe()
    except BackendUnavailable:
        return True
    return False


def _claim(adaptor: type[Adaptor], **values: Any) -> Claim:
    event = Event(source="/shop", id="1", type="com.shop.order.placed", data=OrderPlaced(order_id="A-1"))
    given: dict[str, Any] = {
        "event": event,
        "handler": next(iter(adaptor._handlers.values())),
        "token": "t",
        "seal": lambda replies: tuple(Reply("r", reply.event_type or "", b"") for reply in replies),
        **values,
    }
    return Claim(**given)


def _booked(server: ErpServer) -> list[str]:
    return [order.order_no for order in server.erp.books.all()]


def test_the_intention_is_durable_before_a_byte_leaves_and_the_answer_before_the_handler_goes_on(
    erp: ErpServer,
) -> None:
    """The row says CALLING while the request is out, and keeps the answer afterwards."""
    states: list[tuple[State, int]] = []

    class Watched(NoJournal):
        def note(self, key: Any, token: str, state: State, evidence: Any, replies: Any = ()) -> None:
            states.append((state, len(_booked(erp))))
            super().note(key, token, state, evidence, replies)

    journal = Watched()
    with _family(erp, Erp) as family:
        outcome = family.apply_one(_claim(Erp), journal)
    assert isinstance(outcome, Applied)
    assert states == [(State.CALLING, 0), (State.CLAIMED, 1)]
    call = journal.notes[-1][2]["calls"][0]
    assert call["operation"] == "CreateOrder"
    assert call["answer"]["status"] == 200


def test_an_answered_call_is_not_made_again(erp: ErpServer) -> None:
    """A process that died between two calls makes only the second one when the event comes again."""

    class TwoCalls(SoapAdaptor):
        name = "two"
        fails = True

        @handles
        def book(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked:
            first = _create(erp, event.data)
            if self.fails:
                raise TransientError("the process dies here")
            _create(erp, event.data, "-b")
            return OrderBooked(erp_number=first.Number)

    journal = NoJournal()
    with _family(erp, TwoCalls) as family:
        assert isinstance(family.apply_one(_claim(TwoCalls), journal), Failed)
        TwoCalls.fails = False
        again = _claim(TwoCalls, attempt=2, evidence=journal.notes[-1][2])
        outcome = family.apply_one(again, journal)
    assert isinstance(outcome, Applied), outcome
    assert _booked(erp) == ["A-1", "A-1-b"]


def test_a_claim_that_is_tried_again_at_once_makes_no_answered_call_again(erp: ErpServer) -> None:
    """The next try in the same process sees the answer too, without another look at the ledger."""

    class Clumsy(SoapAdaptor):
        name = "clumsy"
        tries = 0

        @handles
        def book(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked:
            number = _create(erp, event.data).Number
            Clumsy.tries += 1
            if Clumsy.tries == 1:
                raise ValueError("a bug after the call")
            return OrderBooked(erp_number=number)

    claim = _claim(Clumsy)
    with _family(erp, Clumsy) as family:
        assert isinstance(family.apply_one(claim, NoJournal()), Failed)
        assert isinstance(family.apply_one(claim, NoJournal()), Applied)
    assert _booked(erp) == ["A-1"]


def test_a_handler_that_asks_for_something_else_the_second_time_is_stopped(erp: ErpServer) -> None:
    """A replayed answer must belong to the same request; a clock in the arguments is noticed, not papered over."""

    class Fickle(SoapAdaptor):
        name = "fickle"
        tries = 0

        @handles
        def book(self, event: Event[OrderPlaced], erp: SoapService) -> None:
            Fickle.tries += 1
            _create(erp, event.data, f"-{Fickle.tries}")
            raise TransientError("later")

    claim = _claim(Fickle)
    with _family(erp, Fickle) as family:
        family.apply_one(claim, NoJournal())
        outcome = family.apply_one(claim, NoJournal())
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is PermanentError
    assert "call 1 of" in str(outcome.error)
    assert _booked(erp) == ["A-1-1"]


def test_a_lost_answer_leaves_the_row_in_calling(erp: ErpServer) -> None:
    """In doubt is what the row already says, also if the process dies before anything else is written."""
    erp.erp.turns.set(Mischief(Mode.LOSE))
    journal = NoJournal()
    with _family(erp, Erp) as family:
        outcome = family.apply_one(_claim(Erp), journal)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, InDoubt)
    assert [state for _, state, _ in journal.notes] == [State.CALLING, State.CALLING]
    assert "failed_call" not in journal.notes[0][2]


@pytest.mark.parametrize("mode", [Mode.LOSE, Mode.WELL])
def test_verify_settles_a_doubt_either_way(erp: ErpServer, mode: Mode) -> None:
    """`verify` finds the order and gives its reply, or finds none and the order is booked: once in both cases."""
    erp.erp.turns.set(Mischief(mode))
    journal = NoJournal()
    with _family(erp, Erp) as family:
        if mode is Mode.LOSE:
            family.apply_one(_claim(Erp), journal)
        erp.erp.turns.set(Mischief())
        claim = _claim(Erp, attempt=2, in_doubt=True, evidence={"calls": [{"operation": "CreateOrder", "digest": "x"}]})
        outcome = family.apply_one(claim, journal)
    assert isinstance(outcome, Applied), outcome
    assert _booked(erp) == ["A-1"]
    assert not claim.in_doubt or mode is Mode.LOSE


def test_forgetting_a_doubt_keeps_the_calls_that_were_answered(erp: ErpServer) -> None:
    """`NotApplied` speaks of the call in doubt; what the backend has answered stays done."""
    journal = NoJournal()
    with _family(erp, Erp) as family:
        claim = _claim(Erp)
        family.apply_one(claim, journal)
        answered = journal.notes[-1][2]["calls"]
        claim.evidence = {"calls": [*answered, {"operation": "CreateOrder", "digest": "x", "message_id": "y"}]}
        family.forget_doubt(claim, journal)
    assert claim.evidence == {"calls": answered}
    assert journal.notes[-1][1] is State.CLAIMED


def test_a_service_that_cannot_be_reached_is_tried_once_for_a_batch(erp: ErpServer) -> None:
    """What comes after the first refused connection is not tried, and nothing of it is lost or in doubt."""
    claims = [_claim(Erp) for _ in range(5)]
    with _family(erp, Erp) as family:
        erp.stop()
        wait_until(lambda: _is_unreachable(family))
        outcomes = family.apply(claims, NoJournal())
    assert all(isinstance(outcome, Failed) and isinstance(outcome.error, BackendUnavailable) for outcome in outcomes)
    assert [claim.evidence for claim in claims] == [{"calls": []}, None, None, None, None]


def test_verify_that_cannot_ask_leaves_the_doubt(erp: ErpServer) -> None:
    """A lookup without an answer is a transient error: nothing is repeated, and it is asked again later."""
    erp.erp.turns.set(Mischief(Mode.LOSE))
    with _family(erp, Erp) as family:
        outcome = family.apply_one(_claim(Erp, in_doubt=True), NoJournal())
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is TransientError
    assert _booked(erp) == []


def test_a_doubt_without_verify_is_not_guessed_at(erp: ErpServer) -> None:
    """Nobody can be asked, and the handler does not say that it may be repeated: a person decides."""

    class Blind(SoapAdaptor):
        name = "blind"

        @handles
        def book(self, event: Event[OrderPlaced], erp: SoapService) -> None:
            _create(erp, event.data)

    with _family(erp, Blind) as family:
        outcome = family.apply_one(_claim(Blind, in_doubt=True), NoJournal())
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, InDoubt)
    assert _booked(erp) == []


def test_an_idempotent_handler_is_asked_again_whole_and_with_nothing_written(erp: ErpServer) -> None:
    """An effect that may be repeated needs no record; the second request is the first one, byte for byte."""

    class Safe(SoapAdaptor):
        name = "safe"

        @handles(idempotent=True)
        def book(self, event: Event[OrderPlaced], erp: SoapService) -> None:
            _create(erp, event.data)

    journal = NoJournal()
    with _family(erp, Safe) as family:
        for in_doubt in (False, True):
            assert isinstance(family.apply_one(_claim(Safe, in_doubt=in_doubt), journal), Applied)
    assert journal.notes == []
    assert _booked(erp) == ["A-1", "A-1"]


@pytest.mark.parametrize(("total", "kind"), [(Decimal(99_999), Reject), (Decimal("1.555"), InvalidData)])
def test_what_had_no_effect_leaves_no_call_behind(erp: ErpServer, total: Decimal, kind: type[Exception]) -> None:
    """A refused or invalid request is not replayed: put back to work, the event asks again."""
    journal = NoJournal()
    claim = _claim(Erp)
    claim.event = Event(source="/s", id="2", type="t", data=OrderPlaced(order_id="A-2", total=total))
    with _family(erp, Erp) as family:
        outcome = family.apply_one(claim, journal)
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is kind
    assert [(state, evidence["calls"]) for _, state, evidence in journal.notes][1:] in ([(State.CLAIMED, [])], [])
    assert _booked(erp) == []


def test_a_bug_after_a_doubt_does_not_hide_the_doubt(erp: ErpServer) -> None:
    """A handler that swallows InDoubt and then breaks leaves the event in doubt, not up for a blind retry."""

    class Swallowing(SoapAdaptor):
        name = "swallowing"

        @handles
        def book(self, event: Event[OrderPlaced], erp: SoapService) -> None:
            try:
                _create(erp, event.data)
            except InDoubt:
                raise KeyError("bug") from None

    erp.erp.turns.set(Mischief(Mode.LOSE))
    with _family(erp, Swallowing) as family:
        outcome = family.apply_one(_claim(Swallowing), NoJournal())
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, InDoubt)
    assert "KeyError" in str(outcome.error)


def test_the_timeout_of_a_handler_replaces_the_setting(erp: ErpServer) -> None:
    """`@handles(timeout=...)` bounds each call of that handler."""

    class Hasty(SoapAdaptor):
        name = "hasty"

        @handles(timeout=0.2)
        def book(self, event: Event[OrderPlaced], erp: SoapService) -> None:
            _create(erp, event.data)

    erp.erp.turns.set(Mischief(Mode.SLOW, seconds=5))
    with _family(erp, Hasty, timeout=60) as family:
        outcome = family.apply_one(_claim(Hasty), NoJournal())
    assert isinstance(outcome, Failed)
    assert re.search(r"timed out after \d\.\d s", str(outcome.error))


def test_the_message_id_is_the_same_for_every_attempt_and_another_for_every_event(erp: ErpServer) -> None:
    """A backend that keeps message ids can recognise a repeated request."""
    ids = []
    with _family(erp, Erp) as family:
        for key in ("1", "1", "2"):
            journal = NoJournal()
            claim = _claim(Erp)
            claim.event = Event(source="/shop", id=key, type="t", data=OrderPlaced(order_id="A-1"))
            family.apply_one(claim, journal)
            ids.append(journal.notes[0][2]["calls"][0]["message_id"])
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("urn:uuid:")


def test_a_handler_can_answer_a_refusal_with_an_event(erp: ErpServer) -> None:
    """A subclass of Reject is caught by name, with the typed detail at hand."""

    class OverLimit(Reject):
        pass

    class Polite(SoapAdaptor):
        name = "polite"
        faults = {"{urn:erp}OrderRefused": OverLimit}

        @handles
        def book(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked:
            try:
                return OrderBooked(erp_number=_create(erp, event.data).Number)
            except OverLimit as refusal:
                return OrderBooked(erp_number=f"none: limit {refusal.detail.CreditLimit}")

    claim = _claim(Polite)
    claim.event = Event(source="/s", id="2", type="t", data=OrderPlaced(order_id="A-2", total=Decimal(99_999)))
    sealed: list[Any] = []
    claim.seal = lambda replies: sealed.extend(replies) or ()  # type: ignore[func-returns-value]
    with _family(erp, Polite) as family:
        assert isinstance(family.apply_one(claim, NoJournal()), Applied)
    assert sealed[0].erp_number == "none: limit 10000.00"


def test_open_and_probe_tell_whether_the_service_can_be_reached(erp: ErpServer) -> None:
    """Both connect without calling anything."""
    with _family(erp, Erp) as family:
        family.open()
        erp.stop()
        wait_until(lambda: _is_unreachable(family))


@pytest.mark.parametrize(
    ("endpoint", "values", "warned"),
    [
        ("http://erp.invalid/", {"soap_headers": {"{urn:erp}Key": "s"}, "http_headers": {"X-Key": "s"}}, True),
        ("http://erp.invalid/", {"wss_username": "jo", "wss_password": "s"}, True),
        ("http://erp.invalid/", {"wss_username": "jo", "wss_password": "s", "wss_password_type": "digest"}, False),
        ("https://erp.invalid/", {"username": "jo", "password": "s"}, False),
        ("http://127.0.0.1:9/", {"username": "jo", "password": "s"}, False),
        ("http://erp.invalid/", {}, False),
    ],
)
def test_secrets_that_leave_the_machine_in_clear_are_warned_of(
    endpoint: str, values: dict[str, Any], warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """At each start, naming the settings and not their values."""
    given = {"wsdl": WSDL_FILE, "port": "Soap11", "endpoint": endpoint, "connect_timeout": 0.5, **values}
    family = Erp._family(SoapSettings.model_validate(given))
    family.bind(Erp())
    with pytest.raises(BackendUnavailable):
        family.open()
    family.close()
    assert ("secrets are sent in clear" in capsys.readouterr().out) == warned


def test_check_names_every_fault_without_connecting(tmp_path: Path) -> None:
    """A wrong WSDL path and a misspelt query are found before anything starts."""

    class Typo(SoapAdaptor):
        name = "typo"
        queries = ("FindOrdr",)

    settings = {"wsdl": WSDL_FILE, "port": "Soap11", "endpoint": "http://127.0.0.1:9/"}
    family = Typo._family(SoapSettings.model_validate(settings))
    family.bind(Typo())
    assert family.check() == [f"queries: {WSDL_FILE}: no operation 'FindOrdr'; there is FindOrder"]
    missing = Typo._family(SoapSettings.model_validate({**settings, "wsdl": tmp_path / "no.wsdl"}))
    assert "give the path of the WSDL file" in missing.check()[0]
    with pytest.raises(ConfigError):
        missing.open()


@pytest.mark.parametrize(
    ("faults", "queries", "says"),
    [
        ({"soap:Server": Reject}, (), "neither"),
        ({"{urn:erp}": Reject}, (), "neither"),
        ({"OrderRefused!": Reject}, (), "neither"),
        ({"Server": ValueError}, (), "give Reject"),
        ({"Server": "Reject"}, (), "give Reject"),
        ({}, "FindOrder", "queries is text"),
    ],
)
def test_wrong_names_on_the_class_are_errors_at_its_creation(faults: Any, queries: Any, says: str) -> None:
    """What a fault or a query may be called is checked when the class is made."""
    with pytest.raises(ConfigError, match=says):
        type("Wrong", (SoapAdaptor,), {"faults": faults, "queries": queries})


def test_a_handler_is_tested_with_a_mock(mocker: MockerFixture) -> None:
    """The handle is a plain object to a test: no broker, no WSDL."""
    answer = mocker.Mock(Number="ERP-1")
    erp = mocker.Mock(spec=SoapService, CreateOrder=mocker.Mock(return_value=answer))
    event = Event(source="/s", id="1", type="t", data=OrderPlaced(order_id="A-1"))
    assert Erp().book(event, erp).erp_number == "ERP-1"
    erp.CreateOrder.assert_called_once_with(OrderNo="A-1", Customer="ACME", Total=Decimal("5.00"))


def test_a_mock_of_a_real_service_knows_the_operations(mocker: MockerFixture) -> None:
    """Made from a service with a WSDL, a mock refuses names that the WSDL does not have."""
    with connect(SoapSettings(wsdl=WSDL_FILE, port="Soap11", endpoint="http://127.0.0.1:9/")) as service:
        erp = mocker.Mock(spec=service)
        assert erp.CreateOrder
        with pytest.raises(AttributeError):
            erp.CreateOrdr()


def test_an_unknown_operation_is_named_with_its_neighbours() -> None:
    """The error is permanent for an event, and an AttributeError for whoever asks with hasattr."""
    with connect(SoapSettings(wsdl=WSDL_FILE, port="Soap11", endpoint="http://127.0.0.1:9/")) as erp:
        with pytest.raises(UnknownOperation, match="no operation 'CreateOrdr'; there is CreateOrder"):
            erp.CreateOrdr(OrderNo="1")
        assert not hasattr(erp, "Nothing")
        assert isinstance(UnknownOperation(""), PermanentError)


@pytest.mark.parametrize("broken", ["adaptors.soap.response.Response.body", "adaptors.soap.contract.open_envelope"])
def test_a_bug_of_ours_after_the_request_has_left_is_a_doubt_and_no_retry(
    erp: ErpServer, mocker: MockerFixture, broken: str
) -> None:
    """An error that nobody foresaw must not pass for one that may be tried again."""
    mocker.patch(broken, side_effect=KeyError("bug"))
    with _family(erp, Erp) as family:
        outcome = family.apply_one(_claim(Erp), NoJournal())
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is InDoubt
    assert _booked(erp) == ["A-1"]
