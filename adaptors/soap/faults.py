"""SOAP faults: what a service says instead of an answer, and the errors that carry it to a handler."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from lxml import etree

from adapter_sdk.errors import BackendUnavailable, Refused, TransientError

# A reason is somebody else's text: whole stack traces have been met in it. Characters.
_SHOWN_OF_REASON = 500


@dataclass(frozen=True, slots=True)
class SoapFault:
    """A fault as the service sent it, in SOAP 1.1 or 1.2.

    `code` is the fault code without its prefix, such as "Client" or "Server.userException"; `subcodes` are those of
    SOAP 1.2, outermost first. `detail_name` is the qualified name, "{namespace}name", of the detail's element, or of
    its type where the WSDL declares the fault by a type, as old rpc services do;
    `detail` is its value in the type that the WSDL gives it, or None if the WSDL does not know it; `detail_xml` is the
    element as it came; in rpc/encoded with copies in the place of references. `declared` says that the operation
    declares this detail in the WSDL.
    """

    code: str | None
    reason: str
    subcodes: tuple[str, ...] = ()
    actor: str | None = None
    detail_name: str | None = None
    detail: Any = field(default=None, compare=False)
    detail_xml: str | None = field(default=None, repr=False)
    declared: bool = False

    @property
    def summary(self) -> str:
        """Code, detail name and reason in one line, the reason cut at 500 characters and marked so."""
        reason = " ".join(self.reason.split())
        if len(reason) > _SHOWN_OF_REASON:
            reason = f"{reason[:_SHOWN_OF_REASON]}… ({len(reason)} characters)"
        name = f" {self.detail_name}" if self.detail_name else ""
        return f"fault {self.code or 'without a code'}{name}: {reason or 'no reason given'}"


class _WithFault:
    """What the three errors have in common. `fault` is None only where the error was raised by hand."""

    fault: SoapFault | None = None

    @property
    def detail(self) -> Any:
        """The fault's detail in the type that the WSDL gives it, or None."""
        return self.fault.detail if self.fault else None

    @property
    def code(self) -> str | None:
        """The fault code without its prefix, or None."""
        return self.fault.code if self.fault else None

    @property
    def reason(self) -> str:
        """What the service says for people to read."""
        return self.fault.reason if self.fault else str(self)


class Reject(_WithFault, Refused):
    """The service answered with a fault that means no: nothing was applied, and asking again cannot help.

    Catch it in a handler to answer with a reply event of your own; left alone it makes the event a dead letter.
    """


class Retry(_WithFault, TransientError):
    """The service answered with a fault that means "not now": nothing was applied, a later try may succeed."""


class Unavailable(_WithFault, BackendUnavailable):
    """The service answered with a fault that means that it is down: waiting costs the event no attempt."""


class Details(Protocol):
    """What the WSDL knows of the details of one operation's faults."""

    def name_of(self, element: etree._Element) -> str:
        """The qualified name by which a detail is known."""
        ...

    def is_declared(self, name: str) -> bool:
        """Whether the operation declares a fault with this detail element."""
        ...

    def is_hollow(self, element: etree._Element) -> bool:
        """Whether an element is empty although its type wants content."""
        ...

    def typed(self, element: etree._Element) -> Any:
        """The value in the type that the WSDL gives it, or None."""
        ...


def read_fault(element: etree._Element, wsdl: Details) -> SoapFault:
    """The fault in a `Fault` element, whichever version it has: some servers mix the shapes of 1.1 and 1.2.

    A hollow detail counts as none: PHP puts the operation's declared element, empty, into every fault that it throws
    without a detail, and that is no business answer.
    """
    parts = {_local(child): child for child in _elements(element)}
    code, subcodes = _codes(parts)
    reason = parts.get("faultstring", parts.get("Reason"))
    actor = parts.get("faultactor", parts.get("Role"))
    detail = parts.get("detail", parts.get("Detail"))
    details = [] if detail is None else [child for child in _elements(detail) if not wsdl.is_hollow(child)]
    child = min(details, key=lambda one: not wsdl.is_declared(wsdl.name_of(one)), default=None)
    name = None if child is None else wsdl.name_of(child)
    # Before it is typed, which changes it.
    detail_xml = None if detail is None else etree.tostring(detail, encoding="unicode", with_tail=False)
    return SoapFault(
        code=code,
        subcodes=subcodes,
        reason=_text(reason),
        actor=_text(actor) or None,
        detail_name=name,
        detail=None if child is None else wsdl.typed(child),
        detail_xml=detail_xml,
        declared=name is not None and wsdl.is_declared(name),
    )


def without_prefix(code: str) -> str:
    """A fault code by its local name: "soap:Server.userException" and "{uri}Server.userException" read alike."""
    return code.strip().rpartition("}")[2].rpartition(":")[2]


def _codes(parts: dict[str, etree._Element]) -> tuple[str | None, tuple[str, ...]]:
    if "faultcode" in parts:
        return without_prefix(_text(parts["faultcode"])) or None, ()
    codes = []
    level = parts.get("Code")
    while level is not None:
        inside = {_local(child): child for child in _elements(level)}
        codes.append(without_prefix(_text(inside.get("Value"))))
        level = inside.get("Subcode")
    return (codes[0] or None, tuple(codes[1:])) if codes else (None, ())


def _elements(parent: etree._Element) -> Iterator[etree._Element]:
    return (child for child in parent if isinstance(child.tag, str))


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname


def _text(element: etree._Element | None) -> str:
    return "" if element is None else " ".join("".join(str(text) for text in element.itertext()).split())
