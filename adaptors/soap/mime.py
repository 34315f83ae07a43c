"""multipart/related: an envelope whose binary content came beside it, by MTOM and XOP (W3C)."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import HTTP
from itertools import pairwise
from quopri import decodestring
from urllib.parse import unquote

from lxml import etree

_INCLUDE = "{http://www.w3.org/2004/08/xop/include}Include"
_PART = re.compile(rb"((?:[^\r\n]+\r?\n)*)\r?\n(.*)", re.DOTALL)
_DECODERS: Mapping[str, Callable[[bytes], bytes]] = {
    **dict.fromkeys(("", "7bit", "8bit", "binary"), bytes),
    "base64": b64decode,
    "quoted-printable": decodestring,
}


class MimeError(ValueError):
    """A message of several parts that cannot be read."""


def is_multipart(content_type: str) -> bool:
    """Whether a body of this media type has parts."""
    return content_type.partition(";")[0].strip().lower() == "multipart/related"


def unpack(body: bytes, content_type: str) -> tuple[bytes, dict[str, bytes]]:
    """The envelope, and the other parts by content id. Raises MimeError."""
    head = BytesHeaderParser(policy=HTTP).parsebytes(
        f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    )
    boundary = head.get_boundary()
    if not boundary:
        raise MimeError("it is multipart/related without a boundary")
    mark = b"--" + re.escape(boundary.encode("latin-1"))
    # Some write bare line feeds; what ends one line ends all, and whatever else stands before it belongs to the part.
    first = re.search(rb"(?:\A|\n)%s[ \t]*(\r?\n)" % mark, body)
    end = first.group(1) if first else b"\r\n"
    delimiter = re.compile(rb"(?:\A|%s)%s(--)?[ \t]*(?:%s|\Z)" % (end, mark, end))
    marks = list(delimiter.finditer(body))
    if not marks or not marks[-1].group(1):
        raise MimeError("it is multipart/related and has no end")
    parts: dict[str, bytes] = {}
    for opening, closing in pairwise(marks):
        name, content = _part(body[opening.end() : closing.start()])
        if name in parts:
            raise MimeError(f"two of its parts have the content id {name!r}")
        parts[name] = content
    start = _bare(_parameter(head, "start")) or next(iter(parts), "")
    if start not in parts:
        raise MimeError("it has no part that is the envelope")
    return parts.pop(start), parts


def include(root: etree._Element, parts: Mapping[str, bytes]) -> None:
    """Put what came beside an envelope where it belongs, as base64. Raises MimeError if anything is missing or left."""
    left = set(parts)
    for element in list(root.iter(_INCLUDE)):
        name = unquote(element.get("href", "").removeprefix("cid:"))
        holder = element.getparent()
        if name not in parts or holder is None:
            raise MimeError(f"it refers to {name!r}, which has not come with it")
        left.discard(name)
        holder.remove(element)
        holder.text = b64encode(parts[name]).decode("ascii")
    if left:
        raise MimeError(f"it has an attachment that nothing in it refers to: {', '.join(sorted(left))}")


def _part(content: bytes) -> tuple[str, bytes]:
    found = _PART.match(content)
    if found is None:
        raise MimeError("one of its parts has no end of its head")
    headers = BytesHeaderParser(policy=HTTP).parsebytes(found.group(1) + b"\r\n")
    encoding = str(headers.get("Content-Transfer-Encoding", "")).strip().lower()
    decode = _DECODERS.get(encoding)
    if decode is None:
        raise MimeError(f"one of its parts is encoded as {encoding}")
    return _bare(str(headers.get("Content-ID", ""))), decode(found.group(2))


def _parameter(head: EmailMessage, name: str) -> str:
    return str(head.get_param(name, "") or "")


def _bare(content_id: str) -> str:
    return content_id.strip().removeprefix("<").removesuffix(">")
