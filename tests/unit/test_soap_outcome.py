"""Every row of the outcome table, without any I/O."""

import pytest

from adapter_sdk.errors import AdaptorError, BackendUnavailable, InDoubt, PermanentError, Refused, TransientError
from adaptors.soap import Reject, Retry, SoapFault, Unavailable
from adaptors.soap.outcome import decide
from adaptors.soap.record import CallRecord, Phase


def _record(phase: Phase = Phase.PARSE, **facts: object) -> CallRecord:
    made = CallRecord("CreateOrder", "http://erp/soap", phase)
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def _fault(**facts: object) -> CallRecord:
    return _record(status=500, fault=SoapFault(**{"code": "Server", "reason": "no", **facts}))  # type: ignore[arg-type]


@pytest.mark.parametrize("phase", [Phase.BUILD, Phase.CONNECT, Phase.SEND])
def test_a_call_of_which_no_byte_left_was_not_sent(phase: Phase) -> None:
    """Whatever went wrong before the first byte of the body left, the backend is unavailable and a retry is safe."""
    error = decide(_record(phase, failure="Connection refused"), {})
    assert type(error) is BackendUnavailable
    assert "not sent: Connection refused" in str(error)


@pytest.mark.parametrize("phase", [Phase.SEND, Phase.RESPONSE])
def test_a_call_of_which_a_byte_left_is_in_doubt(phase: Phase) -> None:
    """From the first byte on, no failure on the way can say that nothing happened."""
    error = decide(_record(phase, bytes_sent=1, failure="timed out"), {})
    assert type(error) is InDoubt
    assert "CreateOrder at http://erp/soap" in str(error)


def test_a_status_does_not_make_a_broken_answer_whole() -> None:
    """An answer that breaks off is in doubt even if its status line promised a refusal."""
    assert type(decide(_record(Phase.RESPONSE, bytes_sent=9, status=401, failure="cut"), {})) is InDoubt


def test_a_readable_answer_is_no_error() -> None:
    """A 2xx answer that was read is what the caller wanted."""
    assert decide(_record(status=200), {}) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, InDoubt), (202, InDoubt), (204, InDoubt),
        (300, InDoubt), (301, InDoubt), (302, InDoubt), (303, InDoubt), (304, InDoubt),
        (307, Refused), (308, Refused),
        (400, Refused), (401, Refused), (403, Refused), (404, Refused), (405, Refused), (413, Refused), (415, Refused),
        (408, TransientError), (425, TransientError), (429, TransientError),
        (500, InDoubt), (501, InDoubt), (502, InDoubt), (503, InDoubt), (504, InDoubt), (999, InDoubt), (103, InDoubt),
    ],
)  # fmt: skip
def test_each_status_without_a_fault_has_one_meaning(status: int, kind: type[AdaptorError]) -> None:
    """A status that proves that nothing was done is a refusal; one that proves nothing leaves a doubt."""
    assert type(decide(_record(status=status, failure="its body is empty"), {})) is kind


def test_503_with_retry_after_is_a_deliberate_refusal() -> None:
    """A server that says when to come back has turned the request away; a bare 503 may be a proxy's guess."""
    error = decide(_record(status=503, failure="empty", retry_after=7.0), {})
    assert type(error) is BackendUnavailable
    assert "asks to wait 7 s" in str(error)


@pytest.mark.parametrize(("status", "hint"), [(302, "endpoint"), (401, "password"), (404, "path"), (415, "port")])
def test_a_status_that_smells_of_a_wrong_setting_names_the_setting(status: int, hint: str) -> None:
    """The person on call reads which setting to look at."""
    assert hint in str(decide(_record(status=status, failure="empty"), {}))


@pytest.mark.parametrize(
    "code",
    [
        "Client", "Sender", "Client.SchemaValidationError", "VersionMismatch", "MustUnderstand", "DataEncodingUnknown",
        "FailedAuthentication", "InvalidSecurity", "MessageAddressingHeaderRequired", "ActionNotSupported",
    ],
)  # fmt: skip
def test_a_fault_from_before_the_work_is_a_refusal(code: str) -> None:
    """Faults of the sender, of the envelope and of its headers are found before any work is done."""
    error = decide(_fault(code=code), {})
    assert isinstance(error, Reject)
    assert error.code == code


@pytest.mark.parametrize("code", ["Server", "Receiver", "Server.userException", "ERP-1001", "Clients", None])
def test_a_fault_that_proves_nothing_is_in_doubt(code: str | None) -> None:
    """A server that failed may have failed half way; what the fault says is in the text."""
    error = decide(_fault(code=code, reason="disk on fire"), {})
    assert type(error) is InDoubt
    assert "disk on fire" in str(error)


def test_a_declared_fault_is_a_business_answer_whatever_its_code() -> None:
    """Widespread servers send declared exceptions with code Server: the WSDL's word counts, not the code."""
    error = decide(_fault(detail_name="{urn:erp}OrderRefused", declared=True, detail={"Reason": "limit"}), {})
    assert isinstance(error, Reject)
    assert isinstance(error, PermanentError)
    assert error.detail == {"Reason": "limit"}


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("{urn:erp}Busy", {"detail_name": "{urn:erp}Busy", "declared": True}),
        ("Server", {"code": "Server"}),
        ("Server", {"code": "Server.Busy.Now"}),
        ("Server.Busy", {"code": "Server.Busy.Now"}),
        ("Busy", {"code": "Receiver", "subcodes": ("Other", "Busy")}),
        ("Client", {"code": "Client"}),
    ],
)
def test_the_adaptors_mapping_comes_first(name: str, facts: dict[str, object]) -> None:
    """`faults` may name a detail, a code, the beginning of a dotted code, or a subcode."""
    error = decide(_fault(**facts), {name: Retry})
    assert isinstance(error, Retry)
    assert error.fault is not None


def test_the_detail_outranks_the_code_and_the_longer_code_the_shorter() -> None:
    """The more precise name decides, whatever the order of the mapping."""
    faults = {"Server": Unavailable, "Server.Busy": Retry, "{urn:erp}Refused": Reject}
    assert isinstance(decide(_fault(code="Server.Busy", detail_name="{urn:erp}Refused"), faults), Reject)
    assert isinstance(decide(_fault(code="Server.Busy"), faults), Retry)
    assert isinstance(decide(_fault(code="Server.Bus"), faults), Unavailable)


def test_a_status_can_be_mapped_like_a_fault() -> None:
    """Who knows that a proxy's bare 503 means that nothing was passed on may say so."""
    assert isinstance(decide(_record(status=503, failure="empty"), {"503": Unavailable}), Unavailable)


def test_a_mapped_status_does_not_hide_a_fault() -> None:
    """A fault inside an answer says more than its status."""
    assert type(decide(_fault(code="Server"), {"500": Refused})) is InDoubt


def test_a_question_is_never_in_doubt() -> None:
    """An operation that only asks can be asked again: each of its doubts is a transient error with the same text."""
    for doubtful in (_record(Phase.RESPONSE, bytes_sent=1, failure="cut"), _record(status=500, failure="e"), _fault()):
        error = decide(doubtful, {}, only_asks=True)
        assert type(error) is TransientError
        assert str(decide(doubtful, {})) in str(error)
    assert isinstance(decide(_fault(code="Client"), {}, only_asks=True), Reject)


def test_a_subclass_of_reject_is_what_a_handler_can_catch() -> None:
    """The adaptor's own class is raised, with the fault and its detail on it."""

    class OverLimit(Reject):
        pass

    error = decide(_fault(detail_name="{urn:erp}OrderRefused", detail="typed"), {"{urn:erp}OrderRefused": OverLimit})
    assert isinstance(error, OverLimit)
    assert (error.detail, error.reason, error.code) == ("typed", "no", "Server")


def test_any_class_that_is_mapped_carries_the_fault() -> None:
    """The toolkit's own error classes may be mapped too, and keep the fault for whoever looks."""
    error = decide(_fault(code="Busy"), {"Busy": TransientError})
    assert type(error) is TransientError
    assert error.fault.code == "Busy"  # type: ignore[attr-defined]
