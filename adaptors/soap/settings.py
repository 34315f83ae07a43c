"""`[soap]`: where the service is, what it promises, and the limits of one call."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from adapter_sdk.settings import ConfigPath, Section

# Headers that the transport sets itself; two of one name would be read differently by different servers.
_OWN_HEADERS = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "soapaction", "te"}
    | {"transfer-encoding"}
)


_OWNERS = {
    "password": "username",
    "client_key": "client_cert",
    "client_key_password": "client_cert",
    "wss_password": "wss_username",
    "wss_key": "wss_cert",
    "wss_key_password": "wss_cert",
}
Part = Literal["body", "timestamp", "username", "token", "addressing"]
"""Of a request, what a signature can cover: its body, and parts of its header."""

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
    username: str | None = Field(default=None, description="HTTP basic authentication")
    password: SecretStr | None = Field(default=None, validate_default=True, description="HTTP basic authentication")
    http_headers: Mapping[str, SecretStr] = Field(default_factory=dict, description="sent with every call")
    soap_headers: Mapping[str, SecretStr] = Field(
        default_factory=dict, description='SOAP headers of text, by "{namespace}name", sent with every call'
    )
    redact: tuple[str, ...] = Field(
        default=(), description='"{namespace}name" of elements and attributes that are never stored or shown'
    )
    ca_file: ConfigPath | None = Field(default=None, description="PEM file of the CAs to trust; default: the system's")
    client_cert: ConfigPath | None = Field(
        default=None, description="mutual TLS: PEM file of our certificate and chain"
    )
    client_key: ConfigPath | None = Field(default=None, description="its key in PEM; default: in the same file")
    client_key_password: SecretStr | None = Field(default=None, description="of an encrypted client key")
    wss_username: str | None = Field(default=None, description="WS-Security UsernameToken")
    wss_password: SecretStr | None = Field(default=None, validate_default=True, description="WS-Security UsernameToken")
    wss_password_type: Literal["text", "digest"] = Field(default="text", description="how the password is sent")
    wss_timestamp: float = Field(
        default=0, ge=0, le=86_400, description="seconds that a request is valid, by WS-Security Timestamp; 0: none"
    )
    wss_cert: ConfigPath | None = Field(
        default=None, description="requests are signed: PEM file of our certificate, sent as BinarySecurityToken"
    )
    wss_key: ConfigPath | None = Field(default=None, description="its key in PEM; default: in the same file")
    wss_key_password: SecretStr | None = Field(default=None, description="of an encrypted signature key")
    wss_digest: Literal["sha256", "sha512", "sha1"] = Field(
        default="sha256", description="of signatures; sha1 is weak, and for servers that know nothing else"
    )
    wss_signed: tuple[Part, ...] = Field(
        default=("body", "timestamp"), min_length=1, description="what is signed, as far as it is there"
    )
    wss_verify_cert: ConfigPath | None = Field(
        default=None, description="answers must be signed: PEM file of the server's certificate, or of its old and new"
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

    @field_validator("ca_file", "client_cert")
    @classmethod
    def _there_is_tls(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and (info.data.get("endpoint") or "").startswith("http:"):
            raise ValueError("is of no use: endpoint is http and not https")
        return value

    @field_validator("username")
    @classmethod
    def _basic_authentication_allows_it(cls, username: str | None) -> str | None:
        if username is not None and ":" in username:
            raise ValueError("HTTP basic authentication allows no ':' in it")
        return username

    # Not a validator of the whole, which would keep silent as long as any other setting is wrong.
    @field_validator("password", "client_key", "client_key_password", "wss_password", "wss_key", "wss_key_password")
    @classmethod
    def _has_what_it_belongs_to(cls, value: object, info: ValidationInfo) -> object:
        owner = _OWNERS[info.field_name or ""]
        if value is not None and info.data.get(owner, value) is None:
            raise ValueError(f"is of no use without {owner}; set both or neither")
        return value

    @field_validator("password", "wss_password")
    @classmethod
    def _is_there_for_its_user(cls, value: object, info: ValidationInfo) -> object:
        owner = _OWNERS[info.field_name or ""]
        if value is None and info.data.get(owner) is not None:
            raise ValueError(f"is missing, and {owner} is set; set both or neither")
        return value

    @field_validator("http_headers")
    @classmethod
    def _authorization_is_given_once(cls, headers: Mapping[str, SecretStr], info: ValidationInfo) -> object:
        if info.data.get("username") is not None and any(name.lower() == "authorization" for name in headers):
            raise ValueError("give username and password, or the header Authorization, not both")
        return headers

    @property
    def secrets_sent(self) -> list[str]:
        """The names of the settings whose secrets stand as they are in each request."""
        by_name = {
            "password": self.password,
            "wss_password": self.wss_password if self.wss_password_type == "text" else None,
            "http_headers": self.http_headers,
            "soap_headers": self.soap_headers,
        }
        return [name for name, secret in by_name.items() if secret]


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
