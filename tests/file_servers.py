"""File servers with their habits, real ones that serve this machine's files: for the tests of the files family."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.pki import Authority
from tests.services import ftpd, samba, sftp_that_overwrites, sshd
from tests.services.missing import Missing, skip_or_fail
from tests.services.run import Run


@dataclass(frozen=True)
class FileServer:
    """A server as settings name it. `root` is the folder whose paths it serves as `prefix` and what follows."""

    scheme: str
    user: str
    port: int
    root: Path = Path("/")
    prefix: str = "/"
    login: dict[str, Any] = field(default_factory=dict)

    def settings(self, drop: Path, port: int | None = None) -> dict[str, Any]:
        """What leads to a folder, straight or through another port of this machine."""
        if port is not None and "known_hosts" in self.login:
            known: Path = self.login["known_hosts"]
            first = known.read_text().splitlines()[0]
            known.write_text(f"{known.read_text()}[127.0.0.1]:{port} {first.partition(' ')[2]}\n")
        place = f"{self.prefix}{drop.relative_to(self.root)}"
        return {"drop": f"{self.scheme}://{self.user}@127.0.0.1:{port or self.port}{place}", **self.login}

    def path(self, folder: Path) -> str:
        """What a setting calls a folder on the server of the drop."""
        return f"{self.prefix.removeprefix('/~/')}{folder.relative_to(self.root)}"


@contextmanager
def on_sftp(run: Run, *options: str) -> Iterator[FileServer]:
    """OpenSSH, with options of sftp-server(8)."""
    try:
        found = sshd.start(run, options)
    except Missing as missing:
        skip_or_fail(missing)
    with found.server:
        login = {"key_file": found.key, "known_hosts": found.known_hosts}
        yield FileServer("sftp", found.user, found.port, login=login)


@contextmanager
def on_sftp_that_overwrites(run: Run) -> Iterator[FileServer]:
    """A server that is not OpenSSH."""
    known_hosts = run.folder / f"known_hosts_{run.worker}"
    login = {"password": sftp_that_overwrites.PASSWORD, "known_hosts": known_hosts}
    with sftp_that_overwrites.running(known_hosts) as port:
        yield FileServer("sftp", sftp_that_overwrites.USER, port, login=login)


@contextmanager
def on_ftp(run: Run, **habits: Any) -> Iterator[FileServer]:
    """FTP in the clear; the login begins in the folder of all tests."""
    found = ftpd.start(run, run.folder, **habits)
    with found.server:
        yield FileServer("ftp", ftpd.USER, found.port, run.folder, "/~/", {"password": ftpd.PASSWORD})


@contextmanager
def on_ftps(run: Run) -> Iterator[FileServer]:
    """FTP over TLS."""
    folder = run.folder / f"ftps-{run.worker}"
    folder.mkdir(exist_ok=True)
    authority = Authority(folder)
    found = ftpd.start(run, Path("/"), tls=authority.identity("ftpd"))
    with found.server:
        login = {"password": ftpd.PASSWORD, "ca_file": authority.cert}
        yield FileServer("ftps", ftpd.USER, found.port, login=login)


@contextmanager
def on_smb(run: Run) -> Iterator[FileServer]:
    """Samba."""
    try:
        found = samba.start(run, run.folder)
    except Missing as missing:
        skip_or_fail(missing)
    with found.server:
        yield FileServer("smb", found.user, found.port, run.folder, f"/{samba.SHARE}/", {"password": samba.PASSWORD})


SERVERS: dict[str, Callable[[Run], AbstractContextManager[FileServer]]] = {
    "sftp": on_sftp,
    "ftp": on_ftp,
    "ftps": on_ftps,
    "smb": on_smb,
}

HABITS: dict[str, Callable[[Run], AbstractContextManager[FileServer]]] = {
    "sftp without posix-rename and fsync": lambda run: on_sftp(run, "-P", "posix-rename,fsync"),
    "sftp that overwrites": on_sftp_that_overwrites,
    "ftp without MLST": lambda run: on_ftp(run, without=("MLST", "MLSD"), hides=True),
    "ftp without MLST and SIZE": lambda run: on_ftp(run, without=("MLST", "MLSD", "SIZE")),
    "ftp that refuses to overwrite": lambda run: on_ftp(run, refuses=True),
}


class Started(dict[str, FileServer]):
    """Servers by their kind, each started when it is first asked for; ended with the block."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._open = ExitStack()

    def __missing__(self, kind: str) -> FileServer:
        self[kind] = self._open.enter_context((SERVERS | HABITS)[kind](self._run))
        return self[kind]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
