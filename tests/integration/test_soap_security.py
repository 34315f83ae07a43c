"""Who we are and whom we believe, against a peer whose signatures are made and checked by the XML Security Library."""

import base64
import hashlib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import xmlsec
from lxml import etree

from adapter_sdk.errors import AdaptorError, BackendUnavailable, ConfigError, InDoubt
from adaptors.soap import SoapService, SoapSettings, connect
from samples.shop.erp.soap import WSDL_FILE
from tests.pki import Authority, Identity
from tests.soap_peer import Peer, http_message, say, xml_message

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_OASIS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_WSSE = f"{_OASIS}wssecurity-secext-1.0.xsd"
_WSU = f"{_OASIS}wssecurity-utility-1.0.xsd"
_DS = "http://www.w3.org/2000/09/xmldsig#"
_ANSWER = f"""<e:Envelope xmlns:e="{_SOAP}"><e:Header/><e:Body><CreateOrderResponse xmlns="urn:erp"><Number>17</Number>
<BookedAt>2026-11-20T10:00:00Z</BookedAt></CreateOrderResponse></e:Body></e:Envelope>"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of this module's certificates."""
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Identity:
    """Who we are."""
    return authority.identity("ours")


@pytest.fixture(scope="module")
def theirs(authority: Authority) -> Identity:
    """Who the server is."""
    return authority.identity("theirs")


@contextmanager
def _erp(url: str, **values: Any) -> Iterator[SoapService]:
    given = {"wsdl": WSDL_FILE, "port": "Soap11", "endpoint": url, "timeout": 5.0, **values}
    with connect(SoapSettings.model_validate(given)) as erp:
        yield erp


def _order(erp: SoapService) -> Any:
    return erp.CreateOrder(OrderNo="1", Customer="ACME & Söhne", Total=5)


def _sent(**values: Any) -> etree._Element:
    """The envelope that the peer is sent."""
    with Peer(say(xml_message(_ANSWER.encode()))) as peer, _erp(peer.url, **values) as erp:
        _order(erp)
    return etree.fromstring(peer.requests[0].partition(b"\r\n\r\n")[2])


def _outcome(url: str, **values: Any) -> AdaptorError:
    with _erp(url, **values) as erp, pytest.raises(AdaptorError) as caught:
        _order(erp)
    return caught.value


def _find(root: etree._Element, path: str) -> etree._Element:
    found = root.find(path, {"s": _SOAP, "wsse": _WSSE, "wsu": _WSU, "ds": _DS, "erp": "urn:erp"})
    assert found is not None, path
    return found


def _text(root: etree._Element, path: str) -> str:
    return _find(root, path).text or ""


# --- tokens ---


def test_a_username_token_carries_the_password_as_text() -> None:
    """Name, password and type stand in the Security header, which the server must understand."""
    root = _sent(wss_username="jo", wss_password="pässword")
    assert _text(root, "s:Header/wsse:Security/wsse:UsernameToken/wsse:Username") == "jo"
    password = _find(root, "s:Header/wsse:Security/wsse:UsernameToken/wsse:Password")
    assert password.text == "pässword"
    assert password.get("Type", "").endswith("#PasswordText")
    assert _find(root, "s:Header/wsse:Security").get(f"{{{_SOAP}}}mustUnderstand") == "1"


def test_a_password_digest_is_that_of_nonce_time_and_password_and_never_the_same_twice() -> None:
    """What UsernameToken Profile 1.1 asks for, computed here on its own; the password itself is not sent."""
    digests = set()
    for _ in range(2):
        root = _sent(wss_username="jo", wss_password="pässword", wss_password_type="digest")
        token = "s:Header/wsse:Security/wsse:UsernameToken/"
        nonce = base64.b64decode(_text(root, f"{token}wsse:Nonce"))
        created = _text(root, f"{token}wsu:Created")
        expected = hashlib.sha1(nonce + created.encode() + "pässword".encode(), usedforsecurity=False).digest()
        assert base64.b64decode(_text(root, f"{token}wsse:Password")) == expected
        assert _find(root, f"{token}wsse:Password").get("Type", "").endswith("#PasswordDigest")
        assert "pässword" not in etree.tostring(root, encoding="unicode")
        digests.add(expected)
    assert len(digests) == 2


def test_a_timestamp_says_how_long_the_request_is_valid() -> None:
    """It is made for each request, in UTC."""
    root = _sent(wss_timestamp=90)
    created, expires = (
        datetime.fromisoformat(_text(root, f"s:Header/wsse:Security/wsu:Timestamp/wsu:{name}"))
        for name in ("Created", "Expires")
    )
    assert expires - created == timedelta(seconds=90)
    assert abs(datetime.now(UTC) - created) < timedelta(seconds=10)


def test_without_a_setting_there_is_no_security_header() -> None:
    """Nothing is said that nobody asked for."""
    assert _sent().find(f".//{{{_WSSE}}}Security") is None


# --- our signature ---


def _verify(root: etree._Element, cert: Path, digest: Any = xmlsec.constants.TransformSha256) -> list[str]:
    """The tags of what is signed. Raises xmlsec.Error unless the signature is that of `cert`."""
    signature = _find(root, "s:Header/wsse:Security/ds:Signature")
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_file(str(cert), xmlsec.constants.KeyDataFormatCertPem)
    elements = {element.get(f"{{{_WSU}}}Id"): element for element in root.iter() if element.get(f"{{{_WSU}}}Id")}
    for element in elements.values():
        context.register_id(element, "Id", _WSU)
    context.verify(signature)
    references = list(signature.iter(f"{{{_DS}}}Reference"))
    for reference in references:
        assert _find(reference, "ds:DigestMethod").get("Algorithm") == digest.href
    return [etree.QName(elements[item.get("URI", "").removeprefix("#")]).localname for item in references]


def test_the_signature_of_a_request_is_verified_by_another_implementation(ours: Identity) -> None:
    """Body and Timestamp are signed with SHA-256 and the key of the certificate that is sent along."""
    root = _sent(wss_cert=ours.cert, wss_key=ours.key, wss_timestamp=300)
    assert _verify(root, ours.cert) == ["Body", "Timestamp"]
    method = _find(root, "s:Header/wsse:Security/ds:Signature/ds:SignedInfo/ds:SignatureMethod")
    assert method.get("Algorithm") == "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
    token = _find(root, "s:Header/wsse:Security/wsse:BinarySecurityToken")
    pem = ssl.DER_cert_to_PEM_cert(base64.b64decode(token.text or ""))
    assert pem.split() == ours.cert.read_text().split()
    reference = _find(root, ".//ds:KeyInfo/wsse:SecurityTokenReference/wsse:Reference")
    assert reference.get("URI") == f"#{token.get(f'{{{_WSU}}}Id')}"


@pytest.mark.parametrize(
    "place", ["s:Body/erp:CreateOrder/erp:OrderNo", "s:Header/wsse:Security/wsu:Timestamp/wsu:Created"]
)
def test_a_changed_request_is_noticed(ours: Identity, place: str) -> None:
    """Neither the order nor its time can be changed on the way."""
    root = _sent(wss_cert=ours.cert, wss_key=ours.key, wss_timestamp=300)
    _find(root, place).text = "other"
    with pytest.raises(xmlsec.Error):
        _verify(root, ours.cert)


def test_everything_in_the_header_can_be_signed(ours: Identity) -> None:
    """The parts that are named, as far as they are there, with the key in the certificate's file."""
    values = {"wss_username": "jo", "wss_password": "secret", "message_id_header": True, "wss_cert": ours.both}
    root = _sent(**values, wss_signed=["body", "timestamp", "username", "token", "addressing"])
    parts = ["Body", "UsernameToken", "BinarySecurityToken", "Action", "MessageID", "To"]
    assert _verify(root, ours.cert) == parts


@pytest.mark.parametrize(("digest", "transform"), [("sha512", "TransformSha512"), ("sha1", "TransformSha1")])
def test_the_digest_is_a_setting(ours: Identity, digest: str, transform: str) -> None:
    """Also the weak one that some servers want; an encrypted key is opened with its password."""
    values = {"wss_cert": ours.cert, "wss_key": ours.locked_key, "wss_key_password": "sesame", "wss_digest": digest}
    assert _verify(_sent(**values), ours.cert, getattr(xmlsec.constants, transform)) == ["Body"]


def test_a_key_on_an_elliptic_curve_signs_too(authority: Authority) -> None:
    """ECDSA with SHA-256, by the kind of the key."""
    curve = authority.identity("curve", curve=True)
    assert _verify(_sent(wss_cert=curve.both), curve.cert) == ["Body"]


# --- the server's signature ---


def _signed(
    identity: Identity,
    *,
    answer: str = _ANSWER,
    cover: str = "s:Body",
    made: timedelta = timedelta(),
    mend: Callable[[etree._Element], object] = lambda root: None,
) -> bytes:
    """An answer that the XML Security Library has signed, with its Timestamp; `mend` changes it afterwards."""
    root = etree.fromstring(answer)
    security = etree.SubElement(_find(root, "s:Header"), f"{{{_WSSE}}}Security")
    stamp = etree.SubElement(security, f"{{{_WSU}}}Timestamp", {f"{{{_WSU}}}Id": "ts"})
    created = datetime.now(UTC) + made
    etree.SubElement(stamp, f"{{{_WSU}}}Created").text = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    etree.SubElement(stamp, f"{{{_WSU}}}Expires").text = (created + timedelta(seconds=60)).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    body = _find(root, cover)
    body.set(f"{{{_WSU}}}Id", "covered")
    exclusive = xmlsec.constants.TransformExclC14N
    signature = xmlsec.template.create(root, exclusive, xmlsec.constants.TransformRsaSha256)
    for uri in ("#covered", "#ts"):
        reference = xmlsec.template.add_reference(signature, xmlsec.constants.TransformSha256, uri=uri)
        xmlsec.template.add_transform(reference, exclusive)
    security.append(signature)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_file(str(identity.key), xmlsec.constants.KeyDataFormatPem)
    context.register_id(body, "Id", _WSU)
    context.register_id(stamp, "Id", _WSU)
    context.sign(signature)
    mend(root)
    return etree.tostring(root)


def _wrapped(root: etree._Element) -> None:
    """Hide the signed body elsewhere, and put another one in its place."""
    body = _find(root, "s:Body")
    copy = etree.fromstring(etree.tostring(body).replace(b">17<", b">18<"))
    root.replace(body, copy)
    _find(root, "s:Header").append(body)


def _wrapped_without_id(root: etree._Element) -> None:
    _wrapped(root)
    del _find(root, "s:Body").attrib[f"{{{_WSU}}}Id"]


def _other_order(root: etree._Element) -> None:
    _find(root, "s:Body/erp:CreateOrderResponse/erp:Number").text = "18"


def _unsigned(root: etree._Element) -> None:
    security = _find(root, "s:Header/wsse:Security")
    security.remove(_find(security, "ds:Signature"))


def _no_time(root: etree._Element) -> None:
    _find(root, "s:Header/wsse:Security/wsu:Timestamp/wsu:Created").text = "soon"


def test_an_answer_signed_by_the_server_is_believed(theirs: Identity, ours: Identity) -> None:
    """The certificate is the server's; of several, for the time of a change, any will do."""
    several = theirs.cert.with_name("several.pem")
    several.write_bytes(ours.cert.read_bytes() + theirs.cert.read_bytes())
    with Peer(say(xml_message(_signed(theirs)))) as peer:
        for cert in (theirs.cert, several):
            with _erp(peer.url, wss_verify_cert=cert) as erp:
                assert _order(erp).Number == "17"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mend": _unsigned}, "is not signed"),
        ({"mend": _other_order}, "not that of `wss_verify_cert`"),
        ({"mend": _wrapped}, "Ambiguous"),
        ({"mend": _wrapped_without_id}, "does not cover its body"),
        ({"cover": "s:Body/erp:CreateOrderResponse"}, "does not cover its body"),
        ({"made": timedelta(hours=-1)}, "has expired"),
        ({"made": timedelta(hours=1)}, "yet to come"),
    ],
    ids=["unsigned", "changed", "wrapped", "wrapped without id", "only a part", "old", "of the future"],
)
def test_an_answer_that_may_not_be_the_servers_is_in_doubt(
    theirs: Identity, options: dict[str, Any], says: str
) -> None:
    """What the server did is unknown, whatever the answer pretends."""
    with Peer(say(xml_message(_signed(theirs, **options)))) as peer:
        error = _outcome(peer.url, wss_verify_cert=theirs.cert)
    assert isinstance(error, InDoubt)
    assert says in str(error)


def test_a_signature_with_our_own_certificate_is_not_the_servers(theirs: Identity, ours: Identity) -> None:
    """Somebody who reflects what we have signed is not believed."""
    with Peer(say(xml_message(_signed(ours)))) as peer:
        error = _outcome(peer.url, wss_cert=ours.both, wss_verify_cert=theirs.cert)
    assert "not that of `wss_verify_cert`" in str(error)


def test_a_fault_is_believed_only_if_it_is_signed(theirs: Identity) -> None:
    """Anybody on the way could have written "refused"."""
    fault = "<e:Fault><faultcode>e:Client</faultcode><faultstring>no</faultstring></e:Fault>"
    answer = f'<e:Envelope xmlns:e="{_SOAP}"><e:Header/><e:Body>{fault}</e:Body></e:Envelope>'
    with Peer(say(xml_message(_signed(theirs, answer=answer), "500 X"))) as peer:
        assert not isinstance(_outcome(peer.url, wss_verify_cert=theirs.cert), InDoubt)
    with Peer(say(xml_message(answer.encode(), "500 X"))) as peer:
        assert isinstance(_outcome(peer.url, wss_verify_cert=theirs.cert), InDoubt)


# --- TLS ---


@pytest.fixture
def server_tls(authority: Authority, theirs: Identity) -> ssl.SSLContext:
    """A server that wants to know who asks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(theirs.cert, theirs.key)
    context.load_verify_locations(authority.cert)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.mark.parametrize("form", ["two files", "one file", "encrypted"])
def test_mutual_tls(server_tls: ssl.SSLContext, authority: Authority, ours: Identity, form: str) -> None:
    """The server sees our certificate; the key is beside it, in its file, or encrypted."""
    values: dict[str, dict[str, Any]] = {
        "two files": {"client_cert": ours.cert, "client_key": ours.key},
        "one file": {"client_cert": ours.both},
        "encrypted": {"client_cert": ours.cert, "client_key": ours.locked_key, "client_key_password": "sesame"},
    }
    given = {"ca_file": authority.cert, **values[form]}
    with Peer(say(xml_message(_ANSWER.encode())), tls=server_tls) as peer, _erp(peer.url, **given) as erp:
        assert _order(erp).Number == "17"


def test_without_our_certificate_nothing_is_done(server_tls: ssl.SSLContext, authority: Authority) -> None:
    """The server turns us away before it has read a request: no doubt is left, by any version of TLS."""
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        server_tls.maximum_version = version
        with Peer(say(xml_message(_ANSWER.encode())), tls=server_tls) as peer:
            error = _outcome(peer.url, ca_file=authority.cert)
            assert peer.requests == []
        assert isinstance(error, BackendUnavailable)


def test_the_environment_gives_no_authority_beside_ours(
    server_tls: ssl.SSLContext, authority: Authority, ours: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `ca_file` set, what variables name is not believed."""
    (tmp_path / "other").mkdir()
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(authority.cert))
    with Peer(say(xml_message(_ANSWER.encode())), tls=server_tls) as peer:
        error = _outcome(peer.url, ca_file=Authority(tmp_path / "other").cert, client_cert=ours.both)
    assert isinstance(error, BackendUnavailable)
    assert "not trusted" in str(error)


# --- what is wrong in the settings, and what stays secret ---


def test_every_wrong_file_is_named_before_anything_connects(ours: Identity, theirs: Identity, tmp_path: Path) -> None:
    """One start tells all: CA, client certificate, key of another certificate, certificate to verify with, and WSDL."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    values = {
        "wsdl": tmp_path / "gone.wsdl",
        "ca_file": broken,
        "client_cert": ours.cert,
        "client_key": theirs.key,
        "wss_cert": ours.cert,
        "wss_key": theirs.key,
        "wss_verify_cert": tmp_path / "gone.pem",
    }
    with pytest.raises(ConfigError) as caught, _erp("https://127.0.0.1:9/", **values):
        pass
    for word in ("wsdl:", "ca_file:", "client_cert:", "wss_key:", "wss_verify_cert:"):
        assert sum(word in fault for fault in caught.value.faults) == 1, word


@pytest.mark.parametrize("password", [None, "wrong"])
def test_an_encrypted_key_without_its_password_is_a_config_error(ours: Identity, password: str | None) -> None:
    """The setting is named, nobody is asked at the terminal, and the wrong password is not repeated."""
    for prefix in ("client", "wss"):
        values = {f"{prefix}_cert": ours.cert, f"{prefix}_key": ours.locked_key, f"{prefix}_key_password": password}
        with pytest.raises(ConfigError) as caught, _erp("https://127.0.0.1:9/", **values):
            pass
        assert f"{prefix}_key_password" in str(caught.value)
        assert "wrong:" not in str(caught.value)


def test_a_server_that_repeats_the_password_gives_nothing_away() -> None:
    """Neither in the error, nor in the fault that it carries."""
    fault = "<e:Fault><faultcode>e:Server</faultcode><faultstring>jo/canary-1 unknown</faultstring></e:Fault>"
    answer = f'<e:Envelope xmlns:e="{_SOAP}"><e:Body>{fault}</e:Body></e:Envelope>'.encode()
    with Peer(say(http_message("500 X", answer, "Content-Type: text/xml"))) as peer:
        error = _outcome(peer.url, wss_username="jo", wss_password="canary-1")
    assert "jo/*** unknown" in str(error)
    assert "canary" not in repr(error.fault)  # type: ignore[attr-defined]
