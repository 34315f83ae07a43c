"""`[soap]`: where the service is, what it promises, and the limits of one call."""

import re
from collections.abc import Iterable, Mapping
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from adapter_sdk.settings import ConfigPath, Section

# Headers that the transport sets itself; two of one name would be read differently by different servers.
_OWN_HEADERS = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "soapaction", "te"}
    | {"transfer-encoding"}
)


_QUALIFIED = re.compile(r"(?:\{[^{}\s]+\})?[^\W\d][\w.-]*")
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class SoapSettings(Section):
    """`[soap]`: one SOAP service. Times are in seconds; nothing here is ever fetched from the network.

    `endpoint` replaces the address in the WSDL, which is often that of another machine. Without it the WSDL's own
    address is used, and a warning says so.
    """

    wsdl: ConfigPath = Field(description="the WSDL file, beside the schemas that it names")
    wsdl_folder: ConfigPath | None = Field(
        default=None, description="the folder that holds all schemas; default: the folder of the WSDL"
    )
    service: str | None = Field(default=None, description="wsdl:service, needed where the WSDL has several")
    port: str | None = Field(default=None, description="wsdl:port, needed where several speak SOAP; 1.1 or 1.2 follows")
    endpoint: str | None = Field(default=None, description="URL of the service; default: the WSDL's soap:address")
    timeout: float = Field(default=30.0, gt=0, le=3600, description="seconds for one call, all of it")
    connect_timeout: float = Field(default=5.0, gt=0, le=300, description="seconds to connect, TLS included")
    keep_alive: float = Field(
        default=2.0,
        ge=0,
        le=300,
        description="seconds that an idle connection is used again; below the server's own limit, 0: never",
    )
    max_response_bytes: int = Field(default=10_485_760, ge=1024, description="bytes of an answer, decompressed")
    validate_requests: bool = Field(default=True, description="check each request body with the WSDL's schema")
    message_id_header: bool = Field(
        default=False, description="send wsa:MessageID although the WSDL does not ask for WS-Addressing"
    )
    ca_file: ConfigPath | None = Field(default=None, description="PEM file of the CAs to trust; default: the system's")
    username: str | None = Field(default=None, description="HTTP basic authentication")
    password: SecretStr | None = Field(default=None, description="HTTP basic authentication")
    http_headers: Mapping[str, SecretStr] = Field(default_factory=dict, description="sent with every call")
    soap_headers: Mapping[str, SecretStr] = Field(
        default_factory=dict, description='SOAP headers of text, by "{namespace}name", sent with every call'
    )
    redact: tuple[str, ...] = Field(
        default=(), description='"{namespace}name" of elements and attributes that are never stored or shown'
    )

    @field_validator("endpoint")
    @classmethod
    def _endpoint_is_plain(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            check_endpoint(endpoint)
        return endpoint

    @field_validator("http_headers")
    @classmethod
    def _headers_are_free(cls, headers: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        for name, value in headers.items():
            if name.lower() in _OWN_HEADERS:
                raise ValueError(f"{name} is set by the transport itself; leave it out")
            if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
                raise ValueError(f"{name!r} is not a header name: letters, digits, '-' and '_'")
            if not (value.get_secret_value().isascii() and value.get_secret_value().isprintable()):
                raise ValueError(f"the value of {name} has a line break or another character that is not ASCII text")
        return headers

    @field_validator("redact")
    @classmethod
    def _names_are_qualified(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        check_names(names)
        return names

    @field_validator("soap_headers")
    @classmethod
    def _headers_are_qualified(cls, headers: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        check_names(headers, needs_namespace=True)
        for name, value in headers.items():
            if _NOT_XML.search(value.get_secret_value()):
                raise ValueError(f"the value of {name} has a character that XML does not allow")
        return headers

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("give username and password together")
        if self.username is not None and ":" in self.username:
            raise ValueError("username: HTTP basic authentication allows no ':' in it")
        if self.username is not None and any(name.lower() == "authorization" for name in self.http_headers):
            raise ValueError("give username and password, or the header Authorization, not both")
        return self


def check_names(names: Iterable[str], *, needs_namespace: bool = False) -> None:
    """Raise ValueError for the first that is not "{namespace}name"; without a need, the name alone will do."""
    for name in names:
        if not _QUALIFIED.fullmatch(name) or (needs_namespace and not name.startswith("{")):
            raise ValueError(f'{name!r} is not "{{namespace}}name"')


def check_endpoint(endpoint: str) -> None:
    """Raise ValueError, with what to write instead, unless `endpoint` is a plain http or https URL."""
    try:
        parts = urlsplit(endpoint)
        host, user, _ = parts.hostname, parts.username, parts.port
        (host or "").encode("idna")
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("write http://host:port/path or https://host:port/path")
    if user is not None:
        raise ValueError("a user name in the URL would be printed; use username and password")
    if not (endpoint.isascii() and endpoint.isprintable()) or " " in endpoint:
        raise ValueError("has a character that a URL must percent-encode")
