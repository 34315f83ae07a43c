"""`make services`: says which services the tests will use, and installs with apt-get what is missing, where it may.

Exit status 0 when every service is there (or its TEST_*_URL is set), 1 when one is missing and could not be installed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services import mariadb, php, postgresql, rabbitmq, samba, sshd
from tests.services.missing import Missing

_FINDERS: tuple[Callable[[], Path], ...] = (
    rabbitmq.find,
    postgresql.find,
    mariadb.find,
    php.find,
    sshd.find,
    samba.find,
)
_POLICY = Path("/usr/sbin/policy-rc.d")


def main() -> int:
    """Installs what is missing if it can, and reports."""
    missing = _find_missing()
    if missing and _may_install():
        _install(sorted({package for one in missing for package in one.packages.split()}))
        missing = _find_missing()
    for one in missing:
        _say(str(one))
    if missing:
        _say("run `make services` as root on a machine with apt-get, or install and set the above yourself")
    return 1 if missing else 0


def _find_missing() -> list[Missing]:
    missing = []
    for find in _FINDERS:
        try:
            _say(f"{find()} is there")
        except Missing as one:
            if not (one.variable and os.environ.get(one.variable)):
                missing.append(one)
    return missing


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install(packages: list[str]) -> None:
    _say(f"installing {' '.join(packages)} (about a minute)")
    command = ["apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *packages]
    with _daemons_not_started():
        # A machine's package lists may be absent or too old: fetched only then, because it takes longest of all.
        if _apt(command).returncode != 0:
            _apt(["apt-get", "update"])
            finished = _apt(command)
            if finished.returncode != 0:
                _say(finished.stdout)


def _apt(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@contextmanager
def _daemons_not_started() -> Iterator[None]:
    """Keeps Debian from starting what it installs: the tests run services of their own. A policy that exists stays."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _say(line: str) -> None:
    sys.stdout.write(f"services: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
