"""A bash that commands are typed into, one after the other, as a reader would."""

import os
import re
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Seconds that one command of the manual may take.
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Command:
    """A line after `$ ` and what is shown below it, in which `...` stands for anything."""

    line: str
    shown: str

    def is_shown_by(self, printed: str) -> bool:
        """Whether `printed` is what the page shows; a page that shows nothing is content with everything."""
        parts = (re.escape(part.strip()) for part in re.split(r"\.\.\.", self.shown.strip()))
        return not self.shown.strip() or re.fullmatch(r"\s*.*?\s*".join(parts), printed.strip(), re.S) is not None


def commands_of(text: str) -> list[Command]:
    """The commands of a console block, each with the lines that follow it; a final backslash continues a command."""
    commands: list[Command] = []
    for line in text.splitlines():
        last = commands[-1] if commands else None
        if line.startswith("$ "):
            commands.append(Command(line[2:], ""))
        elif last is not None and last.line.endswith("\\"):
            commands[-1] = Command(f"{last.line}\n{line}", "")
        elif last is not None:
            commands[-1] = Command(last.line, f"{last.shown}{line}\n")
    assert commands, "a console block begins with a line that begins with `$ `"
    return commands


class Shell:
    """One bash for the whole of a page, so that `cd`, background jobs and `$?` work as they do for a reader."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def type(self, line: str) -> tuple[str, int]:
        """Run one command: what it printed on both streams, and its exit status."""
        assert self._process.stdin is not None
        mark = secrets.token_hex(8)
        # The subshell at the end keeps $? for the next command.
        self._process.stdin.write(f'{line}\n_status=$?; echo "{mark} $_status"; (exit $_status)\n'.encode())
        self._process.stdin.flush()
        printed = self._read_until(f"{mark} ".encode(), line)
        text, _, status = printed.decode("utf-8", "replace").rpartition(f"{mark} ")
        return text, int(status)

    def _read_until(self, mark: bytes, line: str) -> bytes:
        assert self._process.stdout is not None
        printed = b""
        deadline = time.monotonic() + _PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not re.search(re.escape(mark) + rb"\d+\n", printed):
                assert selector.select(max(0.0, deadline - time.monotonic())), f"`{line}` does not end: {printed!r}"
                chunk = os.read(self._process.stdout.fileno(), 65_536)
                assert chunk, f"`{line}` ended the shell: {printed!r}"
                printed += chunk
        return printed

    def end(self) -> None:
        """End the shell and all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(60)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


@contextmanager
def shell(folder: Path, environment: Mapping[str, str]) -> Iterator[Shell]:
    """A shell that is gone when the block ends."""
    opened = Shell(folder, environment)
    try:
        yield opened
    finally:
        opened.end()
