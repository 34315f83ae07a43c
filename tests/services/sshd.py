"""OpenSSH's server for the tests, for its SFTP alone: own keys and port, and the files of this machine."""

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services.missing import Missing
from tests.services.ports import free_port
from tests.services.run import Run
from tests.services.supervised import Supervised, start_on_free_ports

_DEBIAN = Path("/usr/sbin/sshd")
_SEPARATION = Path("/run/sshd")  # an empty folder that sshd wants when it runs as root

_CONFIGURATION = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
Subsystem sftp internal-sftp {options}
"""


def find() -> Path:
    """The sshd program. Raises Missing."""
    found = _DEBIAN if _DEBIAN.exists() else shutil.which("sshd")
    if not found:
        raise Missing("OpenSSH's server", "openssh-server")
    return Path(found)


@dataclass(frozen=True, slots=True)
class SftpServer:
    """Where it listens, who may log in, and the files that say so."""

    server: Supervised
    port: int
    user: str
    key: Path
    known_hosts: Path


def start(run: Run, options: Sequence[str] = ()) -> SftpServer:
    """Starts a server whose SFTP has these options of sftp-server(8). About 50 ms. Raises Missing."""
    program = find()
    if os.geteuid() == 0:
        _SEPARATION.mkdir(mode=0o755, exist_ok=True)

    def launch() -> SftpServer:
        server = Supervised("sshd", run.log("sshd"))
        folder, port = server.directory, free_port()
        for name in ("host_key", "user_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        (folder / "sshd_config").write_text(_CONFIGURATION.format(port=port, folder=folder, options=" ".join(options)))
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
        # sshd starts itself anew for each connection, and wants to be called by its full path for that.
        server.start([str(program), "-D", "-e", "-f", str(folder / "sshd_config")], environment=dict(os.environ))
        server.wait_ready(lambda: _answers(port))
        return SftpServer(server, port, getpass.getuser(), folder / "user_key", known_hosts)

    return start_on_free_ports(launch)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
