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
        ({"username": "u"}, "together"),
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


def test_secrets_are_never_shown() -> None:
    """Neither the password nor a header, which often holds an API key, is printed with the settings."""
    shown = repr(_settings(username="u", password="canary-1", http_headers={"X-Api-Key": "canary-2"}))
    assert "canary" not in shown


def test_a_wrong_secret_is_not_repeated_in_the_error() -> None:
    """The error about a secret header names the header and not its value."""
    with pytest.raises(ValidationError) as caught:
        _settings(http_headers={"X-Api-Key": "canary\n"})
    assert "canary" not in str(caught.value)
