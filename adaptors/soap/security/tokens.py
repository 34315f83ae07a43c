"""UsernameToken and Timestamp: new ones for each request, also for one that is sent again."""

import hashlib
import secrets
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Literal

from lxml import etree

from adaptors.soap.security.names import BASE64, PASSWORD_DIGEST, PASSWORD_TEXT, WSSE, WSU, add


def add_timestamp(security: etree._Element, now: datetime, lifetime: float) -> etree._Element:
    """Say when the request was made, and that it is void `lifetime` seconds later."""
    timestamp = add(security, WSU, "Timestamp")
    add(timestamp, WSU, "Created", xml_time(now))
    add(timestamp, WSU, "Expires", xml_time(now + timedelta(seconds=lifetime)))
    return timestamp


def add_username_token(
    security: etree._Element, username: str, password: str, kind: Literal["text", "digest"], now: datetime
) -> etree._Element:
    """Say who asks; by digest the password does not leave, and the server must know it in plain text."""
    token = add(security, WSSE, "UsernameToken")
    add(token, WSSE, "Username", username)
    if kind == "text":
        add(token, WSSE, "Password", password, Type=PASSWORD_TEXT)
        return token
    nonce, created = secrets.token_bytes(16), xml_time(now)
    # UsernameToken Profile 1.1, section 3.1; SHA-1 is all that it knows.
    digest = hashlib.sha1(nonce + created.encode() + password.encode(), usedforsecurity=False).digest()
    add(token, WSSE, "Password", b64encode(digest).decode(), Type=PASSWORD_DIGEST)
    add(token, WSSE, "Nonce", b64encode(nonce).decode(), EncodingType=BASE64)
    add(token, WSU, "Created", created)
    return token


def xml_time(moment: datetime) -> str:
    """As xsd:dateTime in UTC, with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
