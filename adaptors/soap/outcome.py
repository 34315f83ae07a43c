"""What the record of a call means: not sent, refused, in doubt, or answered. Pure: a record in, an error or None out.

How far the call came                      What happened                             Error
connect, or send with no body gone         refused, unknown host, time out, TLS      BackendUnavailable
send, response                             time out, reset, cut, too large, no HTTP  InDoubt
parse: a fault that `faults` names         declared by the adaptor                   as the adaptor says
  a fault with a detail declared in WSDL   a business answer                         Reject
  Client, Sender and the like              the request was turned away               Reject
  Server, Receiver, any other code         may have failed half way                  InDoubt
parse, no fault: status in `faults`        declared by the adaptor                   as the adaptor says
  2xx, readable                            answered                                  none
  2xx, unreadable                          done, and the answer lost                 InDoubt
  307, 308                                 sent on to another address                Refused
  other 3xx                                moved after, or instead of, the work      InDoubt
  408, 425, 429                            turned away for now                       TransientError
  503 with Retry-After                     turned away on purpose                    BackendUnavailable
  other 4xx                                turned away                               Refused
  5xx and all else                         a proxy's or a crash's                    InDoubt

An operation that only asks has no effect to be in doubt about: its doubts are TransientError.
"""

from collections.abc import Mapping

from adapter_sdk.errors import AdaptorError, BackendUnavailable, InDoubt, Refused, TransientError
from adaptors.soap.faults import Reject, SoapFault, without_prefix
from adaptors.soap.record import CallRecord, Phase

FaultMapping = Mapping[str, type[AdaptorError]]

# Decided before any work on the body: the envelope, its version, its security and addressing headers (SOAP 1.1 section
# 4.4.1, SOAP 1.2 part 1 section 5.4.6, WS-Security 1.1 section 12, WS-Addressing 1.0 SOAP binding section 6.4).
_TURNED_AWAY = frozenset(
    {"Client", "Sender", "VersionMismatch", "MustUnderstand", "DataEncodingUnknown"}
    | {"FailedAuthentication", "FailedCheck", "InvalidSecurity", "InvalidSecurityToken", "MessageExpired"}
    | {"SecurityTokenUnavailable", "UnsupportedAlgorithm", "UnsupportedSecurityToken"}
    | {"ActionNotSupported", "InvalidAddressingHeader", "MessageAddressingHeaderRequired"}
)

_NOT_NOW = frozenset({408, 425, 429})

_HINTS = {
    301: "set `endpoint` to the address that the service has moved to",
    302: "set `endpoint` to the service itself, not to a page that leads there",
    303: "set `endpoint` to the service itself, not to a page that leads there",
    307: "set `endpoint` to the address that the service has moved to",
    308: "set `endpoint` to the address that the service has moved to",
    401: "check `username` and `password`",
    403: "check the rights of `username` on the service",
    404: "check the path of `endpoint`",
    405: "check the path of `endpoint`: there is something, and it takes no POST",
    413: "the request is larger than the server allows",
    415: "check `port`: the server speaks the other SOAP version",
}


def decide(record: CallRecord, faults: FaultMapping, *, only_asks: bool = False) -> AdaptorError | None:
    """The error that a finished call amounts to, or None if it was answered and the answer read."""
    error = _judge(record, faults)
    if only_asks and isinstance(error, InDoubt):
        return _with_fault(TransientError(f"{error} It only asks, so it can be asked again."), record.fault)
    return error


def _judge(record: CallRecord, faults: FaultMapping) -> AdaptorError | None:
    where = f"{record.operation} at {record.endpoint}"
    if record.phase in (Phase.BUILD, Phase.CONNECT) or (record.phase is Phase.SEND and not record.bytes_sent):
        return BackendUnavailable(f"{where}: not sent: {record.failure}")
    if record.phase is not Phase.PARSE:
        return InDoubt(
            f"{where}: no whole answer in phase {record.phase} after {record.bytes_sent} bytes were sent:"
            f" {record.failure}."
        )
    if record.fault is not None:
        return _of_fault(where, record.fault, faults)
    return _of_status(where, record, faults)


def _of_fault(where: str, fault: SoapFault, faults: FaultMapping) -> AdaptorError:
    text = f"{where}: {fault.summary}"
    kind = _mapped(fault, faults)
    if kind is None and (fault.declared or _is_turned_away(fault)):
        kind = Reject
    if kind is None:
        return _with_fault(InDoubt(f"{text}. Map it in `faults` if it surely means that nothing was applied."), fault)
    return _with_fault(kind(text), fault)


def _mapped(fault: SoapFault, faults: FaultMapping) -> type[AdaptorError] | None:
    """The class for the detail's name, else for the longest dotted beginning of a code or subcode."""
    if fault.detail_name and fault.detail_name in faults:
        return faults[fault.detail_name]
    for code in (*reversed(fault.subcodes), fault.code or ""):
        parts = code.split(".")
        for length in range(len(parts), 0, -1):
            kind = faults.get(".".join(parts[:length]))
            if kind is not None:
                return kind
    return None


def _is_turned_away(fault: SoapFault) -> bool:
    return any(without_prefix(code).split(".")[0] in _TURNED_AWAY for code in (fault.code or "", *fault.subcodes))


def _of_status(where: str, record: CallRecord, faults: FaultMapping) -> AdaptorError | None:
    status = record.status or 0
    if 200 <= status < 300:
        return InDoubt(f"{where}: the answer cannot be read: {record.failure}.") if record.failure else None
    hint = f"; {_HINTS[status]}" if status in _HINTS else ""
    text = f"{where}: HTTP {status} and no fault ({record.failure}){hint}{_later(record)}"
    return _kind_of_status(status, record, faults)(text)


def _kind_of_status(status: int, record: CallRecord, faults: FaultMapping) -> type[AdaptorError]:
    mapped = faults.get(str(status))
    if mapped is not None:
        return mapped
    if status in _NOT_NOW:
        return TransientError
    if status == 503 and record.retry_after is not None:
        return BackendUnavailable
    return Refused if status in (307, 308) or 400 <= status < 500 else InDoubt


def _later(record: CallRecord) -> str:
    return "" if record.retry_after is None else f"; the server asks to wait {record.retry_after:g} s"


def _with_fault(error: AdaptorError, fault: SoapFault | None) -> AdaptorError:
    if fault is not None:
        error.fault = fault  # type: ignore[attr-defined]  # any error may carry one; Reject and its like declare it
    return error
