"""An SFTP server whose rename overwrites and which has no extensions, as some are beside OpenSSH; login by password."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.sftp import SFTP_OK

USER, PASSWORD = "tester", "correct horse"


class _Login(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        known = (username, password) == (USER, PASSWORD)
        return AUTH_SUCCESSFUL if known else AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED


class _Handle(paramiko.SFTPHandle):
    def stat(self) -> Any:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))  # type: ignore[attr-defined]


class _Files(paramiko.SFTPServerInterface):
    """The machine's own files; `/` is `/`."""

    def open(self, path: str, flags: int, attr: Any) -> Any:
        try:
            file = os.fdopen(os.open(path, flags, 0o644), "rb" if flags & 3 == os.O_RDONLY else "wb")
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        handle = _Handle(flags)
        handle.readfile = handle.writefile = file  # type: ignore[attr-defined]
        return handle

    def stat(self, path: str) -> Any:
        return _said(lambda: paramiko.SFTPAttributes.from_stat(Path(path).stat()))

    def lstat(self, path: str) -> Any:
        return _said(lambda: paramiko.SFTPAttributes.from_stat(Path(path).lstat()))

    def list_folder(self, path: str) -> Any:
        return _said(lambda: [paramiko.SFTPAttributes.from_stat(one.stat(), one.name) for one in Path(path).iterdir()])

    def remove(self, path: str) -> Any:
        return _said(lambda: Path(path).unlink())

    def mkdir(self, path: str, attr: Any) -> Any:
        return _said(lambda: Path(path).mkdir())

    def rename(self, oldpath: str, newpath: str) -> Any:
        return _said(lambda: Path(oldpath).replace(newpath))


def _said(step: Callable[[], Any]) -> Any:
    try:
        answer = step()
    except OSError as error:
        return paramiko.SFTPServer.convert_errno(error.errno or 0)
    return answer if isinstance(answer, (paramiko.SFTPAttributes, list)) else SFTP_OK


@contextmanager
def running(known_hosts: Path) -> Iterator[int]:
    """Serves until the block ends; the port. Its host key is written to the file `known_hosts`."""
    key = paramiko.ECDSAKey.generate()
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    known_hosts.write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files)
            transport.start_server(event=threading.Event(), server=_Login())
            transports.append(transport)

    thread = threading.Thread(target=serve, name="sftp", daemon=True)
    thread.start()
    yield port
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(60)
    for transport in transports:
        transport.close()
