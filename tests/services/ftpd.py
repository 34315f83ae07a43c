"""An FTP server in a thread of the test, with the habits of others: pyftpdlib."""

import os
import threading
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.pki import Identity

with warnings.catch_warnings():
    # It stands on asyncore, of which Python 3.11 says that it will go.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.filesystems import AbstractedFS, FilesystemError
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.servers import FTPServer

USER, PASSWORD = "tester", "correct horse"


class _Refusing(AbstractedFS):  # type: ignore[misc]  # pyftpdlib has no types
    """Does not rename over what is there."""

    def rename(self, src: str, dst: str) -> None:
        if os.path.lexists(dst):
            raise FilesystemError("it exists")
        super().rename(src, dst)


@contextmanager
def running(
    root: Path, *, without: Collection[str] = (), refuses: bool = False, tls: Identity | None = None
) -> Iterator[int]:
    """Serves `root`, where a login begins; the port. `without`: commands that it does not know."""
    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, str(root), perm="elradfmwMT")
    base = TLS_FTPHandler if tls else FTPHandler
    facts: dict[str, Any] = {"authorizer": authorizer, "use_sendfile": False}
    facts["proto_cmds"] = {name: what for name, what in base.proto_cmds.items() if name not in without}
    if refuses:
        facts["abstracted_fs"] = _Refusing
    if tls:
        facts |= {"certfile": str(tls.both), "tls_control_required": True, "tls_data_required": True}
    server = FTPServer(("127.0.0.1", 0), type("Handler", (base,), facts))
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            server.serve_forever(timeout=0.05, blocking=False)

    thread = threading.Thread(target=serve, name="ftpd", daemon=True)
    thread.start()
    yield server.address[1]
    stop.set()
    thread.join(5)
    server.close_all()
