"""Location: a folder on a server, as one setting says it: `sftp://user@files.example/in`."""

from dataclasses import dataclass
from typing import Literal, Self, get_args
from urllib.parse import unquote, urlsplit

Scheme = Literal["sftp", "ftp", "ftps", "smb"]

_SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
_PORTS = {"sftp": 22, "ftp": 21, "ftps": 21, "smb": 445}
_HOME = "/~/"


@dataclass(frozen=True, slots=True)
class Location:
    """`folder` is as the server takes it: absolute, or relative to the folder that a login begins in."""

    scheme: Scheme
    user: str | None
    host: str
    port: int
    folder: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `scheme://user@host:port/folder`; `/~/folder` is within the folder that a login begins in.

        Raises ValueError that says what is wrong, without the URL, which may hold a password.
        """
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            raise ValueError(f"{parts.scheme}:// is not known; give one of {', '.join(_SCHEMES)}, or a path")
        if parts.password is not None:
            raise ValueError("a password in the URL would be printed with it; give it as password")
        if not parts.hostname:
            raise ValueError("the URL names no host")
        if parts.query or parts.fragment:
            raise ValueError("a URL of files has neither ? nor #; write %3F and %23")
        folder = unquote(parts.path).rstrip("/") or "/"
        if "\0" in folder or "\n" in folder or ".." in folder.split("/"):
            raise ValueError("the folder has .. or a control character in it")
        if f"{folder}/".startswith(_HOME):
            folder = folder[len(_HOME) :] or "."
        user = None if parts.username is None else unquote(parts.username)
        return cls(parts.scheme, user, parts.hostname, parts.port or _PORTS[parts.scheme], folder)

    @property
    def server(self) -> str:
        """The URL of the server alone."""
        user = "" if self.user is None else f"{self.user}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{user}{host}{port}"

    def within(self, folder: str) -> str:
        """The URL of another folder of the server."""
        return f"{self.server}{'' if folder.startswith('/') else _HOME}{folder}"

    def __str__(self) -> str:
        return self.within(self.folder)
