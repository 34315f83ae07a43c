"""Keeping secrets out of everything that is printed."""

from urllib.parse import urlsplit, urlunsplit


def redact_url(url: str) -> str:
    """The URL with `***` for its password and without its query, which may hold another."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        user = f"{parts.username}:***@" if parts.password else f"{parts.username}@" if parts.username else ""
    except ValueError:
        return "(unreadable URL)"
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    return urlunsplit((parts.scheme, f"{user}{host}{port}", parts.path, "?***" if parts.query else "", ""))
