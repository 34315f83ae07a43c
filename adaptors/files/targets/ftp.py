"""FTP and FTP over TLS (explicit, RFC 4217) with the standard library: binary and passive."""

import errno
import ftplib
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

from adapter_sdk.errors import ConfigError
from adaptors.files.location import Location
from adaptors.files.settings import FileSettings
from adaptors.files.targets.base import UNKNOWN, Listed

_FULL = ("452", "552")
_LINE_LOST = ("421", "425", "426", "530")
_NO_SUCH_COMMAND = ("500", "501", "502", "504")
_NO_SUCH_OPTION = (*_NO_SUCH_COMMAND, "450")  # 450: it was taken for the name of a folder


class FtpDoor:
    """How to come to an FTP server: by user and password, and with `ftps` by a certificate that is checked."""

    def __init__(self, location: Location, settings: FileSettings) -> None:
        self._location = location
        self._settings = settings

    def check(self) -> list[str]:
        """The CA file, if one is named."""
        ca = self._settings.ca_file
        if ca is not None and not os.access(ca, os.R_OK):
            return [f"[files] ca_file: {ca} is missing, or this user may not read it"]
        return []

    def connect(self) -> "FtpSession":
        """Log in; with TLS also for the data."""
        ftp = self._client()
        try:
            with self._refusals():
                ftp.connect(self._location.host, self._location.port)
                password = self._settings.password.get_secret_value() if self._settings.password else ""
                ftp.login(self._location.user or "", password)
                if isinstance(ftp, ftplib.FTP_TLS):
                    ftp.prot_p()
                return FtpSession(ftp)
        except BaseException:
            ftp.close()
            raise

    def _client(self) -> ftplib.FTP:
        timeout = self._settings.timeout
        if self._location.scheme == "ftp":
            return ftplib.FTP(timeout=timeout)
        try:
            context = ssl.create_default_context(cafile=self._settings.ca_file)
        except ssl.SSLError as error:
            raise ConfigError(f"[files] ca_file: {self._settings.ca_file} holds no PEM certificate") from error
        return _Tls(context=context, timeout=timeout)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        server = self._location.server
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise ConfigError(
                f"{server} shows a certificate that cannot be trusted ({error.verify_message}); name its CA with "
                "[files] ca_file"
            ) from error
        except ftplib.error_perm as error:
            if str(error).startswith("530"):
                raise ConfigError(
                    f"{server} refuses the login: check the user in [files] drop, and password"
                ) from error
            raise ConfigError(f"{server} refuses: {error}") from error
        except (ftplib.Error, EOFError, ssl.SSLError) as error:
            raise ConnectionError(str(error) or type(error).__name__) from error


class FtpSession:
    """One control connection; every transfer has a data connection of its own."""

    def __init__(self, ftp: ftplib.FTP) -> None:
        self.broken = False
        self._ftp = ftp
        with self._answers():
            ftp.voidcmd("TYPE I")  # in ASCII mode a server may change bytes, and refuses to tell a size
            self._home = ftp.pwd()
        self._lists_facts = self._knows_mlst()

    def upload(self, path: str, data: bytes) -> None:
        with self._answers():
            self._ftp.storbinary(f"STOR {path}", BytesIO(data))

    def rename(self, old: str, new: str) -> None:
        with self._answers():
            self._ftp.rename(old, new)

    def replace(self, old: str, new: str) -> None:
        """Most servers overwrite; for one that does not there is a moment without the file."""
        try:
            self.rename(old, new)
        except OSError:
            if self.broken or self.size(old) is None or self.size(new) is None:
                raise
            self.delete(new)
            self.rename(old, new)

    def size(self, path: str) -> int | None:
        """As MLST or SIZE says; where neither can tell, by whether a listing has the name."""
        if self._lists_facts:
            facts = self._facts(path)
            if facts is None or "size" in facts:
                return None if facts is None else int(facts["size"])
        with self._answers():
            try:
                return self._ftp.size(path)
            except ftplib.error_perm:
                return UNKNOWN if PurePosixPath(path).name in self._names(str(PurePosixPath(path).parent)) else None

    def read(self, path: str) -> Iterator[bytes]:
        blocks: list[bytes] = []
        with self._answers():
            try:
                self._ftp.retrbinary(f"RETR {path}", blocks.append)
            except ftplib.error_perm as error:
                if self.size(path) is None:
                    raise FileNotFoundError(errno.ENOENT, str(error)) from error
                raise
        return iter(blocks)

    def delete(self, path: str) -> None:
        with self._answers():
            self._ftp.delete(path)

    def files(self, folder: str) -> Iterator[Listed]:
        """As MLSD lists them; where the server does not know it, by name, and each is asked for its size."""
        with self._answers():
            if self._lists_facts:
                for name, facts in self._ftp.mlsd(folder):
                    if facts.get("type", "file") == "file":
                        yield Listed(name, int(facts.get("size", UNKNOWN)), _moment(facts.get("modify")))
                return
            for name in self._names(folder):
                size = self.size(f"{folder.rstrip('/')}/{name}")
                if size is not None:
                    yield Listed(name, size, None)

    def is_folder(self, path: str) -> bool:
        with self._answers():
            try:
                self._ftp.cwd(path)
            except ftplib.error_perm:
                return False
            self._ftp.cwd(self._home)
        return True

    def make_folder(self, path: str) -> None:
        with self._answers():
            self._ftp.mkd(path)

    def ask(self) -> None:
        with self._answers():
            self._ftp.voidcmd("NOOP")

    def close(self) -> None:
        if not self.broken:
            with suppress(*ftplib.all_errors):
                self._ftp.quit()
        self.broken = True
        self._ftp.close()

    def _knows_mlst(self) -> bool:
        with self._answers():
            try:
                return "MLST" in self._ftp.sendcmd("FEAT").upper()
            except ftplib.error_perm:
                return False

    def _facts(self, path: str) -> dict[str, str] | None:
        """What MLST says of a file, None if there is none."""
        with self._answers():
            try:
                answer = self._ftp.sendcmd(f"MLST {path}")
            except ftplib.error_perm as error:
                if str(error).startswith("550"):
                    return None
                raise
        # 250-text, then the facts before the name on a line that begins with a space, then 250 text: RFC 3659.
        line = answer.splitlines()[1].lstrip()
        pairs = (fact.partition("=") for fact in line.partition(" ")[0].split(";"))
        return {name.lower(): value for name, equals, value in pairs if equals}

    def _names(self, folder: str) -> list[str]:
        """What is in a folder. vsftpd and others name what begins with a dot only to those who say `-a`."""
        listed = [*self._listed(folder), *self._listed(f"-a {folder}", unknown=_NO_SUCH_OPTION)]
        names = (PurePosixPath(name).name for name in listed)
        return [name for name in dict.fromkeys(names) if name not in ("", ".", "..")]

    def _listed(self, asked: str, unknown: tuple[str, ...] = ()) -> list[str]:
        """What NLST lists; nothing where its answer is one of those by which a server says that it knows no option."""
        try:
            return self._ftp.nlst(asked)
        except (ftplib.error_perm, ftplib.error_temp) as error:
            empty = isinstance(error, ftplib.error_perm) and not str(error).startswith(_NO_SUCH_COMMAND)
            if not empty and not str(error).startswith(unknown):
                raise
            return []  # many servers say 550 of an empty folder
        finally:
            self._ftp.voidcmd("TYPE I")  # a listing is asked for in ASCII mode

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """Refusals as OSError, a lost line as ConnectionError or TimeoutError."""
        try:
            yield
        except (ftplib.error_perm, ftplib.error_temp) as error:
            text = str(error)
            if text.startswith(_LINE_LOST):
                self.broken = True
                raise ConnectionError(text) from error
            raise (OSError(errno.ENOSPC, text) if text.startswith(_FULL) else OSError(text)) from error
        except (ftplib.Error, EOFError, ssl.SSLError, ConnectionError) as error:
            self.broken = True
            raise ConnectionError(f"the line to the server is lost: {error or type(error).__name__}") from error
        except TimeoutError:
            self.broken = True
            raise


def _moment(text: str | None) -> float | None:
    """Seconds since the epoch, of a time as RFC 3659 writes it."""
    return datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp() if text else None


class _Tls(ftplib.FTP_TLS):
    """Data connections continue the TLS session of the control connection, as many servers demand."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[Any, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
        return self.context.wrap_socket(connection, server_hostname=self.host, session=session), size
