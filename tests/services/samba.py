"""Samba's file server for the tests: one share, on a port of its own."""

import getpass
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.services.missing import Missing
from tests.services.ports import free_port
from tests.services.run import Run
from tests.services.supervised import Supervised, start_on_free_ports

_DEBIAN = Path("/usr/sbin/smbd")
SHARE, PASSWORD = "files", "correct horse"

_CONFIGURATION = """\
[global]
server role = standalone server
interfaces = 127.0.0.1
bind interfaces only = yes
smb ports = {port}
disable netbios = yes
load printers = no
printing = bsd
printcap name = /dev/null
log file = {folder}/log
log level = 0
passdb backend = tdbsam:{folder}/passdb.tdb
private dir = {folder}/private
state directory = {folder}/state
cache directory = {folder}/cache
lock directory = {folder}/lock
pid directory = {folder}/pid
ncalrpc dir = {folder}/ncalrpc
[{share}]
path = {root}
read only = no
"""


def find() -> Path:
    """The smbd program. Raises Missing."""
    found = _DEBIAN if _DEBIAN.exists() else shutil.which("smbd")
    if not found or not shutil.which("smbpasswd"):
        raise Missing("Samba's file server", "samba")
    return Path(found)


@dataclass(frozen=True, slots=True)
class SmbServer:
    """Where it listens, and who may log in, with `PASSWORD`."""

    server: Supervised
    port: int
    user: str


def start(run: Run, root: Path) -> SmbServer:
    """Starts a server whose share `SHARE` is the folder `root`; as root only. About 1 s. Raises Missing."""
    program = find()

    def launch() -> SmbServer:
        server = Supervised("samba", run.log("samba"))
        folder, port = server.directory, free_port()
        for name in ("private", "state", "cache", "lock", "pid", "ncalrpc"):
            (folder / name).mkdir()
        settings = folder / "smb.conf"
        settings.write_text(_CONFIGURATION.format(port=port, folder=folder, share=SHARE, root=root))
        user = getpass.getuser()
        command = ["smbpasswd", "-c", str(settings), "-L", "-s", "-a", user]
        subprocess.run(command, input=f"{PASSWORD}\n{PASSWORD}\n", text=True, check=True, capture_output=True)
        server.start([str(program), "-F", "--no-process-group", "-s", str(settings)], environment=dict(os.environ))
        server.wait_ready(lambda: _accepts(port))
        return SmbServer(server, port, user)

    return start_on_free_ports(launch)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True
