"""Runs one server for another process, and ends it with that process, however that one ends.

A script of its own that needs the standard library alone: `python supervisor.py SPEC`, where SPEC is a `Spec` as JSON.
It reads commands from its standard input, one word a line, and answers each with "done" when it is so:

kill    the server and all its children are killed, as a power failure would
stop    the server is asked to stop, and killed if it has not after GRACE seconds
start   the server is started again in the same directory
end     the server is ended, its directory removed, and this process exits

The same as at "end" happens when the watched process is gone, and when the server exits without having been told to
(exit status 1 then). The end of the standard input is no command: a shared server outlives the process that started it.
"""

import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

GRACE = 10.0
"""Seconds that a server has to stop by itself."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run. `prepare` are commands to run to their end before the first start; `user` owns `directory`.

    `watch_fd` is an inherited pidfd of the watched process: a number could by then belong to another process.
    """

    command: list[str]
    directory: str
    log: str
    watch_fd: int
    environment: dict[str, str]
    prepare: list[list[str]] = field(default_factory=list)
    user: str | None = None
    end_signal: int = signal.SIGKILL


class Server:
    """The process group of one server."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._process: subprocess.Popen[bytes] | None = None
        self.pidfd = -1

    def prepare(self) -> None:
        for command in self._spec.prepare:
            if self._spawn(command).wait() != 0:
                raise SystemExit(1)

    def start(self) -> None:
        if self._process is not None:
            return
        self._process = self._spawn(self._spec.command)
        self.pidfd = os.pidfd_open(self._process.pid)

    def kill(self) -> None:
        self.finish(signal.SIGKILL)

    def stop(self) -> None:
        self.finish(signal.SIGTERM)

    def finish(self, number: int) -> None:
        """Ends the server with signal `number`, and then everything that is left of its process group."""
        if self._process is None:
            return
        self._process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        # RabbitMQ's start script forks the virtual machine: the group outlives its leader.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self.pidfd)
        self._process, self.pidfd = None, -1

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        account = pwd.getpwnam(self._spec.user) if self._spec.user else None
        with Path(self._spec.log).open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self._spec.directory,
                env=self._spec.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )


def supervise(spec: Spec) -> int:
    """Runs the server until its time is over; the exit status says whether it ended because it was told to."""
    server = Server(spec)
    try:
        server.prepare()
        server.start()
        return _serve_commands(spec, server)
    finally:
        server.finish(spec.end_signal)
        shutil.rmtree(spec.directory, ignore_errors=True)


def _serve_commands(spec: Spec, server: Server) -> int:
    commands: dict[str, Callable[[], None]] = {"kill": server.kill, "stop": server.stop, "start": server.start}
    listening = True
    while True:
        ready = _wait_readable([spec.watch_fd, server.pidfd, sys.stdin.fileno() if listening else -1])
        if spec.watch_fd in ready:
            return 0
        if server.pidfd in ready:
            return 1
        # Unbuffered, so that poll and the read see the same bytes; one command is on its way at a time.
        words = os.read(sys.stdin.fileno(), 4096).decode().split()
        listening = bool(words)
        for word in words:
            if word == "end":
                return 0
            commands[word]()
            sys.stdout.write("done\n")
            sys.stdout.flush()


def _wait_readable(descriptors: list[int]) -> set[int]:
    poll = select.poll()
    for descriptor in descriptors:
        if descriptor >= 0:
            poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll()}


if __name__ == "__main__":
    sys.exit(supervise(Spec(**json.loads(sys.argv[1]))))
