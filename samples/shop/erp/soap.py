"""SOAP 1.1 and 1.2 by hand: from a request's bytes to a reply's bytes, by the schema in the ERP's own WSDL."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from lxml import etree

from samples.shop.erp.books import Books

WSDL_FILE = Path(__file__).parent / "erp.wsdl"
_ERP = "urn:erp"
_XS = "{http://www.w3.org/2001/XMLSchema}"
_SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
_SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"


class FaultError(Exception):
    """What is answered instead of a result. `who` is the fault code; `detail` is the declared element, or None."""

    def __init__(self, who: str, reason: str, detail: etree._Element | None = None) -> None:
        self.who = who
        self.reason = reason
        self.detail = detail
        super().__init__(reason)


class Endpoint:
    """The ERP's two operations. Orders above `credit_limit` are refused with the fault that the WSDL declares."""

    def __init__(self, books: Books, credit_limit: Decimal) -> None:
        self._books = books
        self._limit = credit_limit
        schema = next(etree.parse(WSDL_FILE).iter(f"{_XS}schema"))
        # Serialised and parsed again, because XMLSchema does not see the prefixes that are declared further up.
        self._schema = etree.XMLSchema(etree.fromstring(etree.tostring(schema)))

    def answer(self, request: bytes) -> tuple[int, str, bytes]:
        """The HTTP status, content type and body for a request."""
        version = _SOAP_11
        try:
            root = _parse(request)
            version = _version(root)
            result = self._act(_body(root, version))
            return 200, _content_type(version), _envelope(version, result)
        except FaultError as fault:
            # SOAP 1.2 tells a sender's fault by the HTTP status too (part 2, table 20).
            status = 400 if version == _SOAP_12 and fault.who == "Client" else 500
            return status, _content_type(version), _envelope(version, _fault(version, fault))

    def _act(self, element: etree._Element) -> etree._Element:
        # Compiled schemas keep their errors to themselves, one list for all threads: only the verdict is used here.
        if not self._schema.validate(element):
            raise FaultError("Client", f"{etree.QName(element).localname} is not what the schema of {_ERP} allows")
        values = {etree.QName(child).localname: child.text or "" for child in element}
        match etree.QName(element).localname:
            case "CreateOrder":
                return self._create(values["OrderNo"], values["Customer"], Decimal(values["Total"].strip()))
            case "FindOrder":
                return self._find(values["OrderNo"])
            case other:
                raise FaultError("Client", f"there is no operation {other}")

    def _create(self, order_no: str, customer: str, total: Decimal) -> etree._Element:
        if total > self._limit:
            reason = f"{total} is above the credit limit of {customer}"
            detail = _erp("OrderRefused", _erp("Reason", reason), _erp("CreditLimit", str(self._limit)))
            raise FaultError("Server", "order refused", detail)
        order = self._books.create(order_no, customer, total)
        return _erp("CreateOrderResponse", _erp("Number", order.number), _erp("BookedAt", order.booked_at))

    def _find(self, order_no: str) -> etree._Element:
        order = self._books.find(order_no)
        if order is None:
            return _erp("FindOrderResponse")
        values = (("Number", order.number), ("Customer", order.customer), ("Total", str(order.total)))
        return _erp("FindOrderResponse", _erp("Order", *(_erp(name, value) for name, value in values)))


def _parse(request: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(request, parser)
    except etree.XMLSyntaxError as error:
        raise FaultError("Client", f"not XML: {error}") from error
    document: Any = root.getroottree().docinfo
    if document.doctype:
        raise FaultError("Client", "a DOCTYPE is not allowed")
    return root


def _version(root: etree._Element) -> str:
    for version in (_SOAP_11, _SOAP_12):
        if root.tag == f"{{{version}}}Envelope":
            return version
    raise FaultError("VersionMismatch", "not a SOAP envelope")


def _body(root: etree._Element, version: str) -> etree._Element:
    body = root.find(f"{{{version}}}Body")
    if body is None or len(body) != 1:
        raise FaultError("Client", "the envelope needs a Body with one element")
    return body[0]


def _content_type(version: str) -> str:
    return "text/xml; charset=utf-8" if version == _SOAP_11 else "application/soap+xml; charset=utf-8"


def _envelope(version: str, content: etree._Element) -> bytes:
    envelope = _element(version, "Envelope", _element(version, "Body", content))
    return etree.tostring(envelope, xml_declaration=True, encoding="utf-8")


def _fault(version: str, fault: FaultError) -> etree._Element:
    details = [] if fault.detail is None else [fault.detail]
    if version == _SOAP_11:
        code = _element("", "faultcode", f"soap:{fault.who}")
        plain = [_element("", "detail", detail) for detail in details]
        return _element(version, "Fault", code, _element("", "faultstring", fault.reason), *plain)
    who = {"Client": "Sender", "Server": "Receiver"}.get(fault.who, fault.who)
    code = _element(version, "Code", _element(version, "Value", f"soap:{who}"))
    text = _element(version, "Text", fault.reason)
    text.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
    qualified = [_element(version, "Detail", detail) for detail in details]
    return _element(version, "Fault", code, _element(version, "Reason", text), *qualified)


def _erp(name: str, *content: etree._Element | str) -> etree._Element:
    return _element(_ERP, name, *content)


def _element(namespace: str, name: str, *content: etree._Element | str) -> etree._Element:
    prefixes = {_ERP: "erp", _SOAP_11: "soap", _SOAP_12: "soap"}
    if namespace:
        element = etree.Element(f"{{{namespace}}}{name}", nsmap={prefixes[namespace]: namespace})
    else:
        element = etree.Element(name)
    for item in content:
        if isinstance(item, str):
            element.text = item
        else:
            element.append(item)
    return element
