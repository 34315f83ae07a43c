"""Keeping secrets out of everything that is printed."""

from urllib.parse import urlsplit


def redact_url(url: str) -> str:
    """The URL with `***` for its password and without its query, which may hold another."""
    try:
        scheme, separator, _ = url.partition("://")
        parts = urlsplit(url)
        if not separator or ("@" in url and "@" not in parts.netloc):
            # Where the password ends is not clear: it may hold a slash or a question mark.
            return "(unreadable URL)"
        port = f":{parts.port}" if parts.port else ""
        user = f"{parts.username}:***@" if parts.password else f"{parts.username}@" if parts.username else ""
    except ValueError:
        return "(unreadable URL)"
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    return f"{scheme}://{user}{host}{port}{parts.path}{'?***' if parts.query else ''}"
