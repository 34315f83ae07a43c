"""`[soap]`: what is refused before anything connects."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from adaptors.soap import SoapSettings


def _settings(**values: Any) -> SoapSettings:
    return SoapSettings.model_validate({"wsdl": Path("erp.wsdl"), **values})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"endpoint": "erp/soap"}, "write http://"),
        ({"endpoint": "ftp://erp/soap"}, "write http://"),
        ({"endpoint": "http://user:secret@erp/soap"}, "use username and password"),
        ({"endpoint": "http://erp:x/soap"}, "not a URL"),
        ({"endpoint": "http://erp/so ap"}, "percent-encode"),
        ({"endpoint": "http://erp/söap"}, "percent-encode"),
        ({"timeout": 0}, "greater than 0"),
        ({"username": "u"}, "password\n.*is missing, and username is set"),
        ({"password": "p"}, "of no use without username"),
        ({"wss_username": "u"}, "wss_password\n.*is missing, and wss_username is set"),
        ({"wss_password": "p"}, "of no use without wss_username"),
        ({"wss_key": "k.pem"}, "of no use without wss_cert"),
        ({"wss_key_password": "p"}, "of no use without wss_cert"),
        ({"client_key": "k.pem"}, "of no use without client_cert"),
        ({"client_key_password": "p"}, "of no use without client_cert"),
        ({"endpoint": "http://erp/", "client_cert": "c.pem"}, "endpoint is http and not https"),
        ({"wss_signed": []}, "at least 1 item"),
        ({"wss_signed": ["head"]}, "'body', 'timestamp'"),
        ({"wss_digest": "md5"}, "'sha256', 'sha512' or 'sha1'"),
        ({"wss_timestamp": -1}, "greater than or equal to 0"),
        ({"soap_headers": {"ApiKey": "k"}}, 'not "{namespace}name"'),
        ({"soap_headers": {"{urn:erp}Key": "a\x00"}}, "XML does not allow"),
        ({"redact": ["{urn:erp} Pin"]}, 'not "{namespace}name"'),
        ({"username": "u:v", "password": "p"}, "no ':'"),
        ({"username": "u", "password": "p", "http_headers": {"authorization": "x"}}, "not both"),
        ({"http_headers": {"Content-Type": "x"}}, "set by the transport"),
        ({"http_headers": {"X-Key": "a\r\nHost: evil"}}, "not ASCII"),
        ({"http_headers": {"X Key": "a"}}, "not a header name"),
        ({"max_response_bytes": 1}, "greater than or equal to 1024"),
        ({"wsdl_path": "x"}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused_with_a_reason(values: dict[str, Any], says: str) -> None:
    """Each wrong value is named with what to write instead."""
    with pytest.raises(ValidationError, match=says):
        _settings(**values)


def test_every_wrong_setting_is_named_at_once() -> None:
    """What is wrong in itself does not hide what does not fit together."""
    with pytest.raises(ValidationError) as caught:
        _settings(timeout=0, username="u", wss_key="k.pem", wss_username="u", client_key="k.pem", endpoint="ftp://erp/")
    found = {str(fault["loc"][0]) for fault in caught.value.errors()}
    assert found == {"timeout", "password", "wss_key", "wss_password", "client_key", "endpoint"}


def test_secrets_are_never_shown() -> None:
    """Neither a password nor a header, which often holds an API key, is printed with the settings."""
    values = {"password": "canary-1", "wss_password": "canary-2", "client_key_password": "canary-3"}
    more = {"http_headers": {"X-Api-Key": "canary-4"}, "soap_headers": {"{urn:erp}Key": "canary-5"}}
    files = {"client_cert": "c.pem", "wss_cert": "c.pem", "wss_key_password": "canary-6"}
    shown = repr(_settings(username="u", wss_username="u", **values, **more, **files))
    assert "canary" not in shown


def test_a_wrong_secret_is_not_repeated_in_the_error() -> None:
    """The error about a secret header names the header and not its value."""
    with pytest.raises(ValidationError) as caught:
        _settings(http_headers={"X-Api-Key": "canary\n"})
    assert "canary" not in str(caught.value)
