"""A file system of a few megabytes, which a test can fill up: mounted in the namespace of a process of its own."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.services.missing import Missing
from tests.services.run import Run
from tests.services.supervised import StartFailed, Supervised

_HOLD = 'mount -t tmpfs -o size="$1" tmpfs "$0" && echo $$ > "$0.pid" && exec sleep infinity'


class SmallDisk:
    """A tmpfs of `size` bytes, empty. It ends with the test run. Raises Missing where nobody may mount anything.

    `path` is where the commands of `inside` find it, `seen` the way to it for everybody else.
    """

    def __init__(self, run: Run, size: int) -> None:
        if not (shutil.which("unshare") and shutil.which("nsenter")):
            raise Missing("a small file system", "util-linux")
        self._holder = Supervised("small-disk", run.log("small-disk"))
        self.path = self._holder.directory / "disk"
        self.path.mkdir()
        # Anybody but root may mount in a user namespace alone.
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = ["unshare", *user, "--mount", "sh", "-c", _HOLD, str(self.path), str(size)]
        self._holder.start(command, environment=os.environ)
        told = self.path.with_name("disk.pid")
        try:
            self._holder.wait_ready(lambda: told.exists() and told.read_text().strip(), timeout=10)
        except StartFailed as error:
            raise Missing("the right to mount a file system, as root or in a user namespace,", "util-linux") from error
        namespaces = ["--mount", "--user", "--preserve-credentials"] if user else ["--mount"]
        pid = told.read_text().strip()
        self._enter = ["nsenter", "--target", pid, *namespaces, "--wd=."]
        self.seen = Path(f"/proc/{pid}/root{self.path}")

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command that runs `command` where the disk is at `path`, in the folder that it is started in."""
        return [*self._enter, *command]

    def fill(self) -> None:
        """Leave no room for a single block."""
        with (self.seen / "filler").open("ab", buffering=0) as filler, suppress(OSError):
            while filler.write(b"\0" * 4096):
                pass

    def make_room(self) -> None:
        """Take away what `fill` has put there."""
        (self.seen / "filler").unlink()

    def end(self) -> None:
        """Forget the disk and what is on it."""
        self._holder.end()
