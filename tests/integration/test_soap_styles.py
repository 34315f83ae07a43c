"""The forms in which SOAP is met, on the wire: what we send, element by element, and what we make of the answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from adapter_sdk.errors import InDoubt, InvalidData, PermanentError
from adaptors.soap import SoapService, SoapSettings, connect
from tests.soap_peer import Peer, http_message, say, xml_message

_SOAP = {"11": "http://schemas.xmlsoap.org/soap/envelope/", "12": "http://www.w3.org/2003/05/soap-envelope"}
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_WSDL = """<wsdl:definitions targetNamespace="urn:t" xmlns:t="urn:t" xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap{v}/"
    xmlns:wsaw="http://www.w3.org/2006/05/addressing/wsdl">
  <wsdl:types><xs:schema targetNamespace="urn:t" elementFormDefault="qualified">
    <xs:complexType name="Base"><xs:sequence><xs:element name="No" type="xs:string"/></xs:sequence></xs:complexType>
    <xs:complexType name="Rush"><xs:complexContent><xs:extension base="t:Base"><xs:sequence>
      <xs:element name="By" type="xs:time"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>
    <xs:simpleType name="Code"><xs:restriction base="xs:string">
      <xs:maxLength value="4"/></xs:restriction></xs:simpleType>
    <xs:element name="Wrapped"><xs:complexType><xs:sequence>
      <xs:element name="Item" type="t:Base" minOccurs="0"/>
      <xs:choice minOccurs="0">
        <xs:element name="Phone" type="xs:string"/><xs:element name="Mail" type="xs:string"/></xs:choice>
      <xs:element name="Gift" type="xs:boolean" nillable="true"/>
      <xs:any namespace="##other" minOccurs="0" processContents="lax"/>
    </xs:sequence></xs:complexType></xs:element>
    <xs:element name="WrappedResponse"><xs:complexType><xs:sequence>
      <xs:element name="Item" type="t:Base"/>
      <xs:choice><xs:element name="Yes" type="xs:int"/><xs:element name="No" type="xs:string"/></xs:choice>
      <xs:element name="Gift" type="xs:boolean" nillable="true"/>
      <xs:element name="Label" type="xs:base64Binary" minOccurs="0"/>
      <xs:any namespace="##other" minOccurs="0" processContents="lax"/>
    </xs:sequence></xs:complexType></xs:element>
    <xs:element name="Code" type="t:Code"/><xs:element name="Price" type="xs:decimal"/>
    <xs:element name="Session"><xs:complexType><xs:sequence>
      <xs:element name="Token" type="xs:string"/></xs:sequence></xs:complexType></xs:element>
    <xs:element name="Notice" type="xs:string"/><xs:element name="Note" type="t:Base"/>
  </xs:schema></wsdl:types>
  <wsdl:message name="WrappedIn"><wsdl:part name="parameters" element="t:Wrapped"/></wsdl:message>
  <wsdl:message name="WrappedOut"><wsdl:part name="parameters" element="t:WrappedResponse"/></wsdl:message>
  <wsdl:message name="BareIn"><wsdl:part name="code" element="t:Code"/></wsdl:message>
  <wsdl:message name="BareOut"><wsdl:part name="price" element="t:Price"/></wsdl:message>
  <wsdl:message name="HeadIn"><wsdl:part name="code" element="t:Code"/><wsdl:part name="session" element="t:Session"/>
  </wsdl:message>
  <wsdl:message name="OneIn"><wsdl:part name="notice" element="t:Notice"/></wsdl:message>
  <wsdl:message name="RpcIn"><wsdl:part name="item" type="t:Base"/><wsdl:part name="code" type="t:Code"/></wsdl:message>
  <wsdl:message name="RpcOut"><wsdl:part name="price" type="xs:decimal"/><wsdl:part name="item" type="t:Base"/>
  </wsdl:message>
  <wsdl:portType name="Shop">
    <wsdl:operation name="Wrap">
      <wsdl:input message="t:WrappedIn"/><wsdl:output message="t:WrappedOut"/></wsdl:operation>
    <wsdl:operation name="Bare"><wsdl:input message="t:BareIn"/><wsdl:output message="t:BareOut"/></wsdl:operation>
    <wsdl:operation name="Head"><wsdl:input message="t:HeadIn"/><wsdl:output message="t:BareOut"/></wsdl:operation>
    <wsdl:operation name="One"><wsdl:input name="OneWay" message="t:OneIn"/></wsdl:operation>
    <wsdl:operation name="Rpc"><wsdl:input message="t:RpcIn"/><wsdl:output message="t:RpcOut"/></wsdl:operation>
  </wsdl:portType>
  <wsdl:binding name="B" type="t:Shop"><soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>{using}
    <wsdl:operation name="Wrap"><soap:operation soapAction="urn:t#Wrap"/>
      <wsdl:input><soap:body use="literal"/></wsdl:input><wsdl:output><soap:body use="literal"/></wsdl:output>
    </wsdl:operation>
    <wsdl:operation name="Bare"><soap:operation soapAction=""/>
      <wsdl:input><soap:body use="literal"/></wsdl:input><wsdl:output><soap:body use="literal"/></wsdl:output>
    </wsdl:operation>
    <wsdl:operation name="Head"><soap:operation soapAction=""/>
      <wsdl:input><soap:body use="literal" parts="code"/><soap:header message="t:HeadIn" part="session" use="literal"/>
      </wsdl:input><wsdl:output><soap:body use="literal"/></wsdl:output>
    </wsdl:operation>
    <wsdl:operation name="One"><soap:operation soapAction=""/>
      <wsdl:input><soap:body use="literal"/></wsdl:input>
    </wsdl:operation>
    <wsdl:operation name="Rpc"><soap:operation style="rpc" soapAction=""/>
      <wsdl:input><soap:body use="literal" namespace="urn:rpc"/></wsdl:input>
      <wsdl:output><soap:body use="literal" namespace="urn:rpc"/></wsdl:output>
    </wsdl:operation>
  </wsdl:binding>
  {policy}<wsdl:service name="S"><wsdl:port name="Q" binding="t:B"><soap:address location="http://t/"/></wsdl:port></wsdl:service>
</wsdl:definitions>"""


class Shop:
    """A peer that gives one answer to everything, and a service in front of it."""

    def __init__(self, service: SoapService, peer: Peer, version: str) -> None:
        self.service = service
        self._peer = peer
        self._soap = _SOAP[version]

    def sent(self, name: str = "Body") -> str:
        """What stood in the Body, or another part of the envelope, of the last request, canonical."""
        root = etree.fromstring(self._peer.requests[-1].partition(b"\r\n\r\n")[2])
        return "".join(_canonical(child) for child in root.iterfind(f"{{{self._soap}}}{name}/*"))

    def head(self) -> str:
        """The HTTP header of the last request."""
        return self._peer.requests[-1].partition(b"\r\n\r\n")[0].decode()


def _canonical(element: etree._Element) -> str:
    copy = etree.fromstring(etree.tostring(element, with_tail=False))
    return etree.tostring(copy, method="c14n", exclusive=True).decode()


def _same(xml: str) -> str:
    """Expected XML, canonical, with the prefixes that zeep takes."""
    return _canonical(etree.fromstring(xml))


Open = Callable[..., Any]


@pytest.fixture(params=["11", "12"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Make a Shop whose answer has this content in its Body, in SOAP 1.1 and in 1.2."""
    version = str(request.param)

    @contextmanager
    def make(
        body: str = "", *, message: bytes | None = None, using: str = "", policy: str = "", **values: Any
    ) -> Iterator[Shop]:
        wsdl = tmp_path / "t.wsdl"
        text = _WSDL.replace("{v}", version.replace("11", ""))
        wsdl.write_text(text.replace("{using}", using).replace("{policy}", policy))
        envelope = f'<e:Envelope xmlns:e="{_SOAP[version]}" xmlns:xsi="{_XSI}"><e:Body>{body}</e:Body></e:Envelope>'
        answer = message or xml_message(envelope.encode())
        with Peer(say(answer)) as peer:
            settings = {"wsdl": wsdl, "endpoint": peer.url, "timeout": 5, **values}
            with connect(SoapSettings.model_validate(settings)) as service:
                yield Shop(service, peer, version)

    return make


_RESPONSE = '<WrappedResponse xmlns="urn:t">{}</WrappedResponse>'
_PLAIN = "<Item><No>1</No></Item><Yes>5</Yes><Gift>true</Gift>"


def test_document_literal_wrapped(shop: Open) -> None:
    """The wrapper is the element of the message's one part; its children are the arguments and the answer's members."""
    with shop(_RESPONSE.format(_PLAIN)) as made:
        answer = made.service.Wrap(Item={"No": "7"}, Gift=False)
        assert (answer.Item.No, answer.Yes, answer.No, answer.Gift) == ("1", 5, None, True)
        assert made.sent() == _same(
            '<ns0:Wrapped xmlns:ns0="urn:t"><ns0:Item><ns0:No>7</ns0:No></ns0:Item><ns0:Gift>false</ns0:Gift>'
            "</ns0:Wrapped>"
        )


def test_document_literal_bare(shop: Open) -> None:
    """A part whose element is a value takes that value, and the answer is one; facets are checked."""
    with shop('<Price xmlns="urn:t">9.90</Price>') as made:
        assert made.service.Bare("K-1") == Decimal("9.90")
        assert made.sent() == _same('<ns0:Code xmlns:ns0="urn:t">K-1</ns0:Code>')
        with pytest.raises(InvalidData, match="maxLength"):
            made.service.Bare("too long")


def test_rpc_literal(shop: Open) -> None:
    """The wrapper has the operation's name in the binding's namespace, and each part is an element without one."""
    answer = '<r:RpcResponse xmlns:r="urn:rpc"><price>1.5</price><item><No xmlns="urn:t">2</No></item></r:RpcResponse>'
    with shop(answer) as made:
        got = made.service.Rpc(item={"No": "1"}, code="K")
        assert (got.price, got.item.No) == (Decimal("1.5"), "2")
        assert made.sent() == _same(
            '<ns0:Rpc xmlns:ns0="urn:rpc"><item><ns1:No xmlns:ns1="urn:t">1</ns1:No></item><code>K</code></ns0:Rpc>'
        )


@pytest.mark.parametrize(
    "message", [http_message("202 Accepted"), http_message("200 OK"), http_message("204 No Content")]
)
def test_a_one_way_operation_is_answered_with_nothing(shop: Open, message: bytes) -> None:
    """A status alone, whichever, says that the message was taken."""
    with shop(message=message) as made:
        assert made.service.One("sold out") is None
        assert made.sent() == _same('<ns0:Notice xmlns:ns0="urn:t">sold out</ns0:Notice>')


@pytest.mark.parametrize("body", ["", '<Thanks xmlns="urn:t"/>'])
def test_an_envelope_in_answer_to_a_one_way_message_is_no_doubt(shop: Open, body: str) -> None:
    """Some servers answer all the same; nobody waits for what they say."""
    with shop(body) as made:
        assert made.service.One("sold out") is None


def test_a_fault_in_answer_to_a_one_way_message_is_heard(shop: Open) -> None:
    """It was not taken, whatever the WSDL leaves out."""
    fault = "<faultcode>e:Client</faultcode><faultstring>no</faultstring>"
    with shop(f"<e:Fault>{fault}</e:Fault>") as made, pytest.raises(PermanentError, match="fault Client"):
        made.service.One("sold out")


def test_either_branch_of_a_choice_and_never_both(shop: Open) -> None:
    """The branch is chosen by its name, and the one that the answer took has a value."""
    with shop(_RESPONSE.format("<Item><No>1</No></Item><No>sold out</No><Gift>0</Gift>")) as made:
        answer = made.service.Wrap(Mail="a@b", Gift=True)
        assert (answer.Yes, answer.No) == (None, "sold out")
        assert ">a@b</ns0:Mail>" in made.sent()
        with pytest.raises(PermanentError, match="nothing was sent"):
            made.service.Wrap(Mail="a@b", Phone="1", Gift=True)


def test_nil_is_sent_and_read_as_none(shop: Open) -> None:
    """None for an element that must be there is xsi:nil, where the schema allows it."""
    with shop(_RESPONSE.format('<Item><No>1</No></Item><Yes>5</Yes><Gift xsi:nil="true"/>')) as made:
        assert made.service.Wrap(Gift=None).Gift is None
        assert made.sent() == _same(
            f'<ns0:Wrapped xmlns:ns0="urn:t"><ns0:Gift xmlns:xsi="{_XSI}" xsi:nil="true"/></ns0:Wrapped>'
        )


def test_a_derived_type_is_sent_and_read_by_xsi_type(shop: Open) -> None:
    """A dict names its type under "xsi:type"; an answer's value has the members of the type that it names."""
    item = '<Item xsi:type="t:Rush" xmlns:t="urn:t"><No>1</No><By>07:00:00</By></Item>'
    with shop(_RESPONSE.format(f"{item}<Yes>5</Yes><Gift>1</Gift>")) as made:
        answer = made.service.Wrap(Item={"xsi:type": "{urn:t}Rush", "No": "7", "By": "08:30:00"}, Gift=True)
        assert (answer.Item.No, answer.Item.By.hour) == ("1", 7)
        assert made.sent() == _same(
            f'<ns0:Wrapped xmlns:ns0="urn:t"><ns0:Item xmlns:xsi="{_XSI}" xsi:type="ns0:Rush"><ns0:No>7</ns0:No>'
            "<ns0:By>08:30:00</ns0:By></ns0:Item><ns0:Gift>true</ns0:Gift></ns0:Wrapped>"
        )
        with pytest.raises(PermanentError, match=r"No type 'Gone'"):
            made.service.Wrap(Item={"xsi:type": "{urn:t}Gone", "No": "7"}, Gift=True)


def test_any_takes_and_gives_xml(shop: Open) -> None:
    """What the schema leaves open is an element of lxml, in both directions."""
    with shop(_RESPONSE.format(f'{_PLAIN}<x:More xmlns:x="urn:x"><x:A b="1">2</x:A></x:More>')) as made:
        answer = made.service.Wrap(Gift=True, _value_1=etree.fromstring('<x:Extra xmlns:x="urn:x">3</x:Extra>'))
        assert _canonical(answer._value_1) == '<x:More xmlns:x="urn:x"><x:A b="1">2</x:A></x:More>'
        assert '<x:Extra xmlns:x="urn:x">3</x:Extra>' in made.sent()


# --- headers ---


def test_a_header_of_the_wsdl_is_an_argument(shop: Open) -> None:
    """It stands in the Header, in its own type, and not in the body."""
    with shop('<Price xmlns="urn:t">1</Price>') as made:
        assert made.service.Head("K-1", _soapheaders={"session": {"Token": "abc"}}) == 1
        assert made.sent("Header") == _same('<ns0:Session xmlns:ns0="urn:t"><ns0:Token>abc</ns0:Token></ns0:Session>')
        assert "abc" not in made.sent()


def test_headers_of_our_own_go_with_every_call(shop: Open) -> None:
    """As the settings say, beside those of the call; a handler may add elements of its own."""
    headers = {"{urn:gate}ApiKey": "k<1", "{urn:gate}Tenant": "42"}
    with shop('<Price xmlns="urn:t">1</Price>', soap_headers=headers) as made:
        made.service.Bare("K-1", _soapheaders=[etree.fromstring('<x:Trace xmlns:x="urn:x">7</x:Trace>')])
        header = etree.fromstring(f"<h>{made.sent('Header')}</h>")
        assert [(child.tag, child.text) for child in header] == [
            ("{urn:x}Trace", "7"),
            ("{urn:gate}ApiKey", "k<1"),
            ("{urn:gate}Tenant", "42"),
        ]


def _addressing(made: Shop) -> dict[str, str]:
    header = etree.fromstring(f"<h>{made.sent('Header')}</h>")
    return {etree.QName(child).localname: child.text or "" for child in header}


_PRICE = '<Price xmlns="urn:t">1</Price>'


def test_addressing_names_what_is_asked_for_where_no_action_does(shop: Open) -> None:
    """Without an action in the WSDL it is that which WS-Addressing derives: namespace, port type and message."""
    with shop(_PRICE, message_id_header=True) as made:
        made.service.Bare("K-1")
        found = _addressing(made)
        assert found["Action"] == "urn:t:Shop:BareRequest"
        assert found["MessageID"].startswith("urn:uuid:")
        assert found["To"].startswith("http://127.0.0.1:")
    with shop(_RESPONSE.format(_PLAIN), message_id_header=True) as made:
        made.service.Wrap(Gift=True)
        assert _addressing(made)["Action"] == "urn:t#Wrap"
    with shop(message=http_message("202 Accepted"), message_id_header=True) as made:
        made.service.One("x")
        assert _addressing(made)["Action"] == "urn:t:Shop:OneWay"


_POLICY = """<p:Policy xmlns:p="http://www.w3.org/ns/ws-policy" wsu:Id="addressed"
    xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd">
    <p:All><m:Addressing xmlns:m="http://www.w3.org/2007/05/addressing/metadata"/></p:All></p:Policy>"""


@pytest.mark.parametrize("using", ['<wsaw:UsingAddressing wsdl:required="true"/>', "policy"])
def test_a_binding_that_uses_addressing_is_sent_it(shop: Open, using: str) -> None:
    """The WSDL's word is enough, as an element or as a policy that the binding refers to."""
    reference = '<p:PolicyReference xmlns:p="http://www.w3.org/ns/ws-policy" URI="#addressed"/>'
    with shop(_PRICE, using=reference if using == "policy" else using, policy=_POLICY) as made:
        made.service.Bare("K-1")
        assert set(_addressing(made)) == {"Action", "MessageID", "To"}


def test_a_binding_that_does_not_use_addressing_is_not_sent_it(shop: Open) -> None:
    """Also where another binding's policy asks for it."""
    with shop(_PRICE, policy=_POLICY) as made:
        made.service.Bare("K-1")
        assert made.sent("Header") == ""


# --- MTOM ---


def _related(
    envelope: str, *parts: tuple[str, bytes], start: str = "<root@x>", end: bytes = b"--", eol: bytes = b"\r\n"
) -> bytes:
    """An answer of several parts, the envelope first."""
    pieces = [(start, envelope.encode(), b"application/xop+xml"), *((name, data, b"image/png") for name, data in parts)]
    body = b"This is what comes before." + eol
    for name, data, kind in pieces:
        head = [
            b"--b 1",
            b"Content-Type: " + kind,
            b"Content-Transfer-Encoding: binary",
            b"Content-ID: " + name.encode(),
        ]
        body += eol.join([*head, b"", data]) + eol
    body += b"--b 1" + end + eol
    content_type = f'multipart/related; type="application/xop+xml"; start="{start}"; boundary="b 1"'
    return http_message("200 OK", body, f"Content-Type: {content_type}")


def _with_label(label: str) -> str:
    content = _RESPONSE.format(f"<Item><No>1</No></Item><Yes>5</Yes><Gift>1</Gift><Label>{label}</Label>")
    return f'<e:Envelope xmlns:e="{_SOAP["11"]}"><e:Body>{content}</e:Body></e:Envelope>'


_INCLUDE = '<x:Include xmlns:x="http://www.w3.org/2004/08/xop/include" href="cid:{}"/>'
_BYTES = bytes(range(256)) + b"\r\n--b\r\n\n\r"


@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_what_comes_beside_an_envelope_is_read_into_it(shop: Open, eol: bytes) -> None:
    """MTOM: any bytes, line ends and half boundaries included, and an id that is percent-encoded."""
    part = ("<label 1@x>", _BYTES)
    with shop(message=_related(_with_label(_INCLUDE.format("label%201@x")), part, eol=eol)) as made:
        assert made.service.Wrap(Gift=True).Label == _BYTES
        assert "multipart/related" in made.head()


def test_several_parts_without_attachments_are_an_envelope(shop: Open) -> None:
    """A server may wrap any answer."""
    with shop(message=_related(_with_label("QUJD"))) as made:
        assert made.service.Wrap(Gift=True).Label == b"ABC"


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (_related(_with_label(_INCLUDE.format("gone@x"))), "'gone@x', which has not come"),
        (_related(_with_label(""), ("<label@x>", b"1")), "an attachment that nothing in it refers to: label@x"),
        (_related(_with_label(_INCLUDE.format("a@x")), ("<a@x>", b"1"), ("<a@x>", b"2")), "two of its parts"),
        (_related(_with_label(""), end=b""), "has no end"),
        (http_message("200 OK", b"--b", "Content-Type: multipart/related"), "without a boundary"),
        (
            http_message("200 OK", b"--b--", "Content-Type: multipart/related; boundary=b"),
            "no part that is the envelope",
        ),
        (
            http_message("200 OK", b"--b\r\nX: y\r\n--b--", "Content-Type: multipart/related; boundary=b"),
            "no end of its head",
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_in_doubt(shop: Open, message: bytes, says: str) -> None:
    """Nothing that came is dropped, and nothing is made up."""
    with shop(message=message) as made, pytest.raises(InDoubt, match=says):
        made.service.Wrap(Gift=True)
