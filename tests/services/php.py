"""PHP's own web server, for SoapServer as a peer that shares no code with us."""

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.services.missing import Missing
from tests.services.ports import free_port
from tests.services.run import Run
from tests.services.supervised import Supervised, start_on_free_ports


@cache
def find() -> Path:
    """The php program. Raises Missing when it, or its SOAP extension, is not there."""
    found = shutil.which("php")
    if found:
        modules = subprocess.run([found, "-m"], capture_output=True, text=True, check=True).stdout
        if "soap" in modules.split():
            return Path(found)
    raise Missing("PHP with its SOAP extension", "php-cli php-soap")


def start(run: Run, router: Path, environment: Mapping[str, str]) -> tuple[Supervised, str]:
    """Serves every request with the script `router`; returns the server and its URL. Raises Missing."""
    program = find()

    def launch() -> tuple[Supervised, str]:
        server = Supervised("php", run.log("php"))
        port = free_port()
        # A cached WSDL would outlive the test in the temporary folder, and be used instead of a changed one.
        settings = ["-d", "soap.wsdl_cache_enabled=0", "-d", "display_errors=stderr"]
        command = [str(program), *settings, "-S", f"127.0.0.1:{port}", "-t", str(router.parent), str(router)]
        server.start(command, environment={**os.environ, **environment})
        server.wait_ready(lambda: _accepts(port))
        return server, f"http://127.0.0.1:{port}/"

    return start_on_free_ports(launch)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True
