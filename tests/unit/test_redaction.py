import pytest

from adapter_sdk.redaction import redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://user:hunter2@host:5672/vhost", "amqp://user:***@host:5672/vhost"),
        ("amqp://user@host", "amqp://user@host"),
        ("amqps://host/", "amqps://host/"),
        ("amqp://user:p@hunter2@host/", "amqp://user:***@host/"),
        ("https://host/service?token=hunter2&wsdl", "https://host/service?***"),
        ("https://host/service#hunter2", "https://host/service"),
        ("postgresql+psycopg://u:hunter2@[::1]:5432/db", "postgresql+psycopg://u:***@[::1]:5432/db"),
        ("sqlite:///stock.db", "sqlite:///stock.db"),
        ("sqlite:////var/lib/stock.db", "sqlite:////var/lib/stock.db"),
        ("memory://", "memory://"),
    ],
)
def test_password_and_query_are_hidden(url: str, shown: str) -> None:
    """A URL is shown as it is, but for its password, query and fragment."""
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "user:hunter2@host",
        "hunter2",
        "amqp://user:hunter/2@host",
        "amqp://user:12/hunter2@host",
        "amqp://user:12?hunter2@host",
        "amqp://user:hunter2@host:port/",
        "amqp://[hunter2/",
        "",
    ],
)
def test_unclear_urls_are_not_shown(url: str) -> None:
    """Where it is not clear which part is the password, nothing of the URL is shown."""
    assert redact_url(url) == "(unreadable URL)"
