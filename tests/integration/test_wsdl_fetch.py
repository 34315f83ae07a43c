"""`adaptor wsdl fetch` against web servers: what is written, what is noticed later, and what is refused."""

import hashlib
import json
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from adaptors.soap.wsdl import download
from tests.command import adaptor
from tests.pki import Authority
from tests.wsdl.web import Web, web

_WSDL = """<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:t="urn:t" xmlns:u="urn:u" targetNamespace="urn:t">
  <types><xs:schema targetNamespace="urn:t"><xs:import namespace="urn:u" schemaLocation="{location}"/>
    <xs:element name="Ask" type="u:Order"/></xs:schema></types>
  <message name="In"><part name="p" element="t:Ask"/></message>
  <portType name="P"><operation name="Ask"><input message="t:In"/></operation></portType>
  <binding name="B" type="t:P"><soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="Ask"><soap:operation soapAction=""/><input><soap:body use="literal"/></input></operation>
  </binding>
  <service name="S"><port name="Q" binding="t:B"><soap:address location="http://t.example/"/></port></service>
</definitions>"""
_XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:u="urn:u" targetNamespace="urn:u">
{more}<xs:complexType name="{name}"><xs:sequence><xs:element name="{field}" type="xs:string"/></xs:sequence>
</xs:complexType>
</xs:schema>"""


def _xsd(more: str = "", name: str = "Order", field: str = "a") -> str:
    return _XSD.format(more=more, name=name, field=field)


def _include(*locations: str) -> str:
    return "".join(f'<xs:include schemaLocation="{location}"/>' for location in locations)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server with a WSDL and one schema; the current folder is empty."""
    monkeypatch.chdir(tmp_path)
    with web() as served:
        served.pages = {"/erp/service?wsdl": _WSDL.format(location="service?xsd=1"), "/erp/service?xsd=1": _xsd()}
        yield served


def _start(site: Web) -> str:
    return f"{site.url}/erp/service?wsdl"


def _files() -> list[str]:
    return sorted(path.name for path in Path("wsdl").iterdir())


def test_everything_is_in_one_folder_and_works_without_the_network(site: Web) -> None:
    """Locations are file names, wsdl.lock has the SHA-256 of each file, and the WSDL can be described offline."""
    told = adaptor("wsdl", "fetch", _start(site)).output
    assert 'in adaptor.toml: [soap] wsdl = "wsdl/service.wsdl"' in told
    assert _files() == ["service-xsd-1.xsd", "service.wsdl", "wsdl.lock"]
    assert 'schemaLocation="service-xsd-1.xsd"' in Path("wsdl/service.wsdl").read_text()
    lock = json.loads(Path("wsdl/wsdl.lock").read_text())
    assert lock["url"] == _start(site)
    for name, locked in lock["files"].items():
        assert locked["sha256"] == hashlib.sha256((Path("wsdl") / name).read_bytes()).hexdigest()
        source = site.pages[locked["url"].removeprefix(site.url)]
        assert isinstance(source, str)
        assert locked["source_sha256"] == hashlib.sha256(source.encode()).hexdigest()
    site.pages.clear()
    assert "Ask: document/literal" in adaptor("wsdl", "describe", "wsdl/service.wsdl").output


def test_circles_same_names_and_all_kinds_of_locations(site: Web) -> None:
    """Relative, absolute, with a query, up and down: each document once, each under a name of its own."""
    site.pages |= {
        "/erp/service?wsdl": _WSDL.format(location="../a/types.xsd"),
        "/a/types.xsd": _xsd(_include("/b/types.xsd", f"{site.url}/a/deep/TYPES.xsd", "?xsd=a/b")),
        "/b/types.xsd": _xsd(_include("../a/types.xsd", "types.xsd#here"), "Other"),
        "/a/deep/TYPES.xsd": _xsd(name="Third"),
        "/a/types.xsd?xsd=a/b": _xsd(_include("my schema.xsd"), "Fourth"),
        "/a/my%20schema.xsd": _xsd(name="Fifth"),
    }
    adaptor("wsdl", "fetch", _start(site))
    assert _files() == [
        "TYPES-3.xsd", "my-schema.xsd", "service.wsdl", "types-2.xsd", "types-xsd-a-b.xsd", "types.xsd", "wsdl.lock",
    ]  # fmt: skip
    locations = re.findall(r'ocation="([^"]*)"', Path("wsdl/types.xsd").read_text())
    assert locations == ["types-2.xsd", "TYPES-3.xsd", "types-xsd-a-b.xsd"]
    assert len(site.asked) == len(_files()) - 1
    assert "extra" not in adaptor("wsdl", "describe", "wsdl/service.wsdl").output


def test_what_the_toolkit_has_itself_is_not_fetched(site: Web) -> None:
    """Well-known schemas stay where they are named; one that its server does not have comes from the catalog."""
    imports = (
        '<xs:import namespace="http://www.w3.org/XML/1998/namespace" schemaLocation="http://www.w3.org/2001/xml.xsd"/>'
        '<xs:import namespace="http://www.w3.org/2000/09/xmldsig#" schemaLocation="xmldsig.xsd"/>'
    )
    site.pages["/erp/service?xsd=1"] = _xsd(imports)
    adaptor("wsdl", "fetch", _start(site))
    assert _files() == ["service-xsd-1.xsd", "service.wsdl", "wsdl.lock"]
    adaptor("wsdl", "describe", "wsdl/service.wsdl")


def test_a_missing_schema_is_said_with_file_and_line(site: Web) -> None:
    """All that is missing is said at once, and nothing is written."""
    site.pages["/erp/service?xsd=1"] = _xsd(_include("gone.xsd") + "\n" + _include("lost.xsd"))
    told = adaptor("wsdl", "fetch", _start(site), status=3).stderr
    assert f"error: {site.url}/erp/service?xsd=1, line 2: {site.url}/erp/gone.xsd cannot be fetched: HTTP 404" in told
    assert f"line 3: {site.url}/erp/lost.xsd cannot be fetched: HTTP 404" in told
    assert not Path("wsdl").exists()


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("<html/>", "is neither a WSDL 1.1 nor a schema, but <html>"),
        ('<description xmlns="http://www.w3.org/ns/wsdl"/>', "is neither a WSDL 1.1 nor a schema, but <{http://www"),
        ("no xml", "cannot be used: it is not XML"),
        ('<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', "it has a DOCTYPE, which is not read"),
        ((500, "X", ""), "HTTP 500"),
        ((401, "X", ""), "HTTP 401 Unauthorized; give --username"),
        ((200, "Content-Encoding", "gzip"), "comes compressed (gzip)"),
        ((302, "Location", "file:///etc/passwd"), "is no http or https URL"),
        ((302, "Location", "http://other.example/"), "is on another host; if that is right, fetch with --host other"),
        ((302, "Location", "/erp/service?wsdl"), "is redirected more than 5 times"),
    ],
)
def test_what_is_no_wsdl_is_refused(site: Web, page: str | tuple[int, str, str], sentence: str) -> None:
    """Whatever comes instead of a WSDL is said in a sentence."""
    site.pages["/erp/service?wsdl"] = page
    assert sentence in adaptor("wsdl", "fetch", _start(site), status=3).stderr


def test_other_hosts_are_asked_only_if_they_are_named(site: Web) -> None:
    """An import from elsewhere is refused with the option that allows it; only its own host gets the password."""
    with web() as other:
        other.pages["/u.xsd"] = _xsd()
        site.pages["/erp/service?wsdl"] = _WSDL.format(location=f"{other.url}/u.xsd")
        told = adaptor("wsdl", "fetch", _start(site), status=3).stderr
        assert f"line 3: {other.url}/u.xsd is on another host; if that is right, fetch with --host 127.0.0.1:" in told
        assert other.asked == []
        allowed = ("--host", f"127.0.0.1:{other.port}", "--username", "ann", "--password", "secret-1")
        told = adaptor("wsdl", "fetch", _start(site), *allowed).output
        assert "secret-1" not in told + Path("wsdl/wsdl.lock").read_text()
        assert "Authorization" in site.asked[-1][1]
        assert "Authorization" not in other.asked[-1][1]


def test_tls_is_checked_and_may_be_mutual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of an unknown CA is refused with the option that trusts it; one that asks for a certificate gets it."""
    monkeypatch.chdir(tmp_path)
    authority = Authority(tmp_path)
    server, client = authority.identity("server"), authority.identity("client")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(server.cert, server.key)
    tls.load_verify_locations(authority.cert)
    tls.verify_mode = ssl.CERT_REQUIRED
    with web(tls) as site:
        site.pages = {"/erp/service?wsdl": _WSDL.format(location="service?xsd=1"), "/erp/service?xsd=1": _xsd()}
        told = adaptor("wsdl", "fetch", _start(site), status=4).stderr
        assert "certificate verify failed" in told
        assert "give its CA with --ca-file" in told
        trusted = ("--ca-file", authority.cert)
        adaptor("wsdl", "fetch", _start(site), *trusted, status=4)
        adaptor("wsdl", "fetch", _start(site), *trusted, "--client-cert", client.both)
        adaptor("wsdl", "fetch", *trusted, "--client-cert", client.cert, "--client-key", client.key)
    wrong = ("--client-cert", client.cert, "--client-key", client.locked_key)
    assert "cannot be used for TLS" in adaptor("wsdl", "fetch", "https://127.0.0.1:1/", *wrong, status=3).stderr


def test_a_redirect_on_the_same_host_is_followed_and_relative_locations_start_there(site: Web) -> None:
    """What is relative starts from where the document came from in the end."""
    site.pages = {
        "/old?wsdl": (301, "Location", "/new/place/service?wsdl"),
        "/new/place/service?wsdl": _WSDL.format(location="u.xsd"),
        "/new/place/u.xsd": _xsd(),
    }
    adaptor("wsdl", "fetch", f"{site.url}/old?wsdl")
    assert _files() == ["old.wsdl", "u.xsd", "wsdl.lock"]


@pytest.mark.parametrize(
    ("limit", "value", "sentence"),
    [
        ("LARGEST", 500, "is larger than 500 bytes"),
        ("LARGEST_OF_ALL", 1000, "is larger than"),
        ("MOST_DOCUMENTS", 1, "is one document too many: at most 1 are fetched"),
    ],
)
def test_size_and_number_are_limited(
    site: Web, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, sentence: str
) -> None:
    """A server that sends without end, or names without end, is not followed."""
    monkeypatch.setattr(download, limit, value)
    assert sentence in adaptor("wsdl", "fetch", _start(site), status=3).stderr


def test_a_server_that_is_away_cannot_be_reached(tmp_path: Path) -> None:
    """Status 4, as of any server that cannot be reached."""
    told = adaptor("wsdl", "fetch", "http://127.0.0.1:1/x?wsdl", "--into", tmp_path / "w", status=4).stderr
    assert "http://127.0.0.1:1/x?wsdl: cannot be fetched: " in told


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """One document may take --timeout seconds, and no longer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x?wsdl"
        told = adaptor("wsdl", "fetch", url, "--timeout", "0.2", "--into", tmp_path / "w", status=4).stderr
    assert "cannot be fetched: timed out" in told


def test_a_change_at_the_source_is_noticed_and_taken_only_when_asked(site: Web) -> None:
    """The next fetch names the file, writes nothing and ends with 1; --update takes it."""
    adaptor("wsdl", "fetch", _start(site))
    before = {path.name: path.read_bytes() for path in Path("wsdl").iterdir()}
    assert "unchanged: 2 files" in adaptor("wsdl", "fetch", _start(site)).output
    assert "unchanged: 2 files" in adaptor("wsdl", "fetch", "--check").output
    site.pages["/erp/service?xsd=1"] = _xsd(field="b")
    for arguments in (("--check",), (_start(site),), ()):
        told = adaptor("wsdl", "fetch", *arguments, status=1).output
        assert f"service-xsd-1.xsd: has changed at {site.url}/erp/service?xsd=1" in told
    assert {path.name: path.read_bytes() for path in Path("wsdl").iterdir()} == before
    adaptor("wsdl", "fetch", "--update")
    assert 'name="b"' in Path("wsdl/service-xsd-1.xsd").read_text()
    assert "unchanged" in adaptor("wsdl", "fetch", "--check").output


def test_new_and_gone_schemas_are_noticed_and_keep_their_names(site: Web) -> None:
    """A schema that comes or goes is named; those that stay have the file names that they had."""
    site.pages["/erp/service?xsd=1"] = _xsd(_include("x/u.xsd"))
    site.pages["/erp/x/u.xsd"] = _xsd(name="Other")
    adaptor("wsdl", "fetch", _start(site))
    site.pages["/erp/service?xsd=1"] = _xsd(_include("y/u.xsd", "x/u.xsd"))
    site.pages["/erp/y/u.xsd"] = _xsd(name="Third")
    assert f"u-2.xsd: is new at {site.url}/erp/y/u.xsd" in adaptor("wsdl", "fetch", "--update").output
    site.pages["/erp/service?xsd=1"] = _xsd(_include("y/u.xsd"))
    assert "u.xsd: is no longer named by the WSDL" in adaptor("wsdl", "fetch", "--update").output
    assert _files() == ["service-xsd-1.xsd", "service.wsdl", "u-2.xsd", "wsdl.lock"]


def test_comments_are_no_difference(site: Web) -> None:
    """What no parser looks at may change: some servers write the time of day into each answer."""
    adaptor("wsdl", "fetch", _start(site))
    site.pages["/erp/service?xsd=1"] = f"<!-- 12:00 -->{_xsd()}<!-- good night -->"
    assert "unchanged" in adaptor("wsdl", "fetch", "--check").output


def test_an_edited_or_missing_file_is_noticed(site: Web) -> None:
    """What somebody has done to the files here is said too, and not overwritten unasked."""
    adaptor("wsdl", "fetch", _start(site))
    Path("wsdl/service.wsdl").write_text("<edited/>")
    Path("wsdl/service-xsd-1.xsd").unlink()
    told = adaptor("wsdl", "fetch", status=1).output
    assert "service.wsdl: has been edited in wsdl" in told
    assert "service-xsd-1.xsd: is missing from wsdl" in told
    assert Path("wsdl/service.wsdl").read_text() == "<edited/>"
    adaptor("wsdl", "fetch", "--update")
    assert "unchanged" in adaptor("wsdl", "fetch", "--check").output


def test_files_of_other_origin_are_not_overwritten(site: Web) -> None:
    """A folder that has a file of that name and no lock is left as it is."""
    Path("wsdl").mkdir()
    Path("wsdl/service.wsdl").write_text("mine")
    assert "has files of other origin: service.wsdl" in adaptor("wsdl", "fetch", _start(site), status=3).stderr
    assert _files() == ["service.wsdl"]


def test_another_url_into_the_same_folder_is_a_difference(site: Web) -> None:
    """A folder belongs to one WSDL until --update says otherwise."""
    adaptor("wsdl", "fetch", _start(site))
    site.pages["/v2?wsdl"] = _WSDL.format(location="erp/service?xsd=1")
    told = adaptor("wsdl", "fetch", f"{site.url}/v2?wsdl", status=1).output
    assert f"wsdl.lock: is of {_start(site)}, and not of {site.url}/v2?wsdl" in told
    adaptor("wsdl", "fetch", f"{site.url}/v2?wsdl", "--update")
    assert _files() == ["service-xsd-1.xsd", "v2.wsdl", "wsdl.lock"]


@pytest.mark.parametrize(
    "lock",
    [
        "{}",
        "nonsense",
        '{"url": "", "wsdl": "a.wsdl", "files": {"../a.wsdl": {"url": "", "sha256": "", "source_sha256": ""}}}',
    ],
)
def test_a_lock_that_is_none_is_refused(site: Web, lock: str) -> None:
    """A broken lock, or one that leads out of its folder, is said and nothing is fetched."""
    Path("wsdl").mkdir()
    Path("wsdl/wsdl.lock").write_text(lock)
    assert "is no lock that `adaptor wsdl fetch` has written" in adaptor("wsdl", "fetch", status=3).stderr
    assert site.asked == []


def test_a_wsdl_that_cannot_be_used_is_said_when_it_is_fetched(site: Web) -> None:
    """A schema that no import gives a location for is missing: file, line and namespace are named."""
    site.pages["/erp/service?wsdl"] = _WSDL.format(location="service?xsd=1").replace(
        ' schemaLocation="service?xsd=1"', ""
    )
    told = adaptor("wsdl", "fetch", _start(site), status=3).stderr
    assert "wsdl/service.wsdl, line 4: the type Order is of the namespace urn:u, and no schema of it is here" in told


def test_a_check_needs_a_lock_and_writes_nothing(site: Web) -> None:
    """Without a lock there is nothing to compare with; --check and --update contradict each other."""
    assert "wsdl.lock: is not there; give the URL" in adaptor("wsdl", "fetch", "--check", _start(site), status=3).stderr
    assert "is not there; give the URL" in adaptor("wsdl", "fetch", status=3).stderr
    assert "--check writes nothing" in adaptor("wsdl", "fetch", "--check", "--update", status=2).stderr
