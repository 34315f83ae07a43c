"""An FTP server with the habits of others: pyftpdlib in a process of its own (`python -m tests.services.ftpd`)."""

import argparse
import os
import socket
import sys
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.pki import Identity
from tests.services.ports import free_port
from tests.services.run import Run
from tests.services.supervised import Supervised, start_on_free_ports

USER, PASSWORD = "tester", "correct horse"


@dataclass(frozen=True, slots=True)
class FtpServer:
    """Where it listens; `USER` may log in with `PASSWORD`."""

    server: Supervised
    port: int


def start(
    run: Run,
    root: Path,
    *,
    without: Collection[str] = (),
    refuses: bool = False,
    hides: bool = False,
    refusal: str = "",
    tls: Identity | None = None,
) -> FtpServer:
    """Serves `root`, where a login begins. About 300 ms.

    `without`: commands that it does not know. `refuses`: it does not rename over what is there. `hides`: it
    names what begins with a dot only after `NLST -a`, as vsftpd does. `refusal`: what it answers to any `-a`.
    """

    def launch() -> FtpServer:
        server = Supervised("ftpd", run.log("ftpd"))
        port = free_port()
        command = [sys.executable, "-m", "tests.services.ftpd", str(port), str(root), "--without", *without]
        command += ["--refuses"] if refuses else []
        command += ["--hides"] if hides else []
        command += ["--refusal", refusal] if refusal else []
        command += ["--tls", str(tls.both)] if tls else []
        # The server is started in a folder of its own, and finds itself by the path of this one.
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        server.start(command, environment=environment)
        server.wait_ready(lambda: _greets(port))
        return FtpServer(server, port)

    return start_on_free_ports(launch)


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False


def _serve(
    port: int, root: str, without: Collection[str], *, refuses: bool, hides: bool, refusal: str | None, tls: str | None
) -> None:
    # It stands on asyncore, of which Python 3.11 says that it will go.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.filesystems import AbstractedFS, FilesystemError
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.servers import FTPServer

    class Refusing(AbstractedFS):  # type: ignore[misc]  # pyftpdlib has no types
        def rename(self, src: str, dst: str) -> None:
            if os.path.lexists(dst):
                raise FilesystemError("it exists")
            super().rename(src, dst)

    class Hiding(AbstractedFS):  # type: ignore[misc]
        shows_all = False

        def listdir(self, path: str) -> list[str]:
            names: list[str] = super().listdir(path)
            return [name for name in names if self.shows_all or not name.startswith(".")]

    class Options(FTPHandler):  # type: ignore[misc]
        def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
            if refusal and arg.startswith("-a "):
                self.respond(refusal)
                return
            if hides and self.fs is not None:  # there is none before the login
                self.fs.shows_all = arg.startswith("-a ")
            super().pre_process_command(line, cmd, arg.removeprefix("-a "))

    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, root, perm="elradfmwMT")
    base = TLS_FTPHandler if tls else Options if hides or refusal else FTPHandler
    files = Hiding if hides else Refusing if refuses else AbstractedFS
    facts: dict[str, Any] = {"authorizer": authorizer, "abstracted_fs": files}
    facts["auth_failed_timeout"] = 0.1  # seconds until it says so
    facts["proto_cmds"] = {name: what for name, what in base.proto_cmds.items() if name not in without}
    if tls:
        facts |= {"certfile": tls, "tls_control_required": True, "tls_data_required": True}
    FTPServer(("127.0.0.1", port), type("Handler", (base,), facts)).serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("root")
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--refuses", action="store_true")
    parser.add_argument("--hides", action="store_true")
    parser.add_argument("--refusal")
    parser.add_argument("--tls")
    asked = parser.parse_args()
    habits = {"refuses": asked.refuses, "hides": asked.hides, "refusal": asked.refusal, "tls": asked.tls}
    _serve(asked.port, asked.root, asked.without, **habits)
