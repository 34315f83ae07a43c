"""One test run: what its processes (pytest alone, or the workers of pytest-xdist) share."""

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Run:
    """`folder` belongs to this run alone; `controller` is the process whose end is the end of the run."""

    folder: Path
    controller: int
    worker: str

    @classmethod
    def of(cls, config: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> "Run":
        """The run that this process takes part in."""
        base = tmp_path_factory.getbasetemp()
        if hasattr(
            config, "workerinput"
        ):  # a worker of pytest-xdist is a child of the controller, and so is its folder
            return cls(base.parent, os.getppid(), config.workerinput["workerid"])
        return cls(base, os.getpid(), "main")

    def once(self, name: str, start: Callable[[], dict[str, str]]) -> dict[str, str]:
        """The address that `start` returned to the first process that asked for `name`; the others wait for it."""
        address = self.folder / f"{name}.json"
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not address.exists():
                address.write_text(json.dumps(start()))
            found: dict[str, str] = json.loads(address.read_text())
            return found

    def log(self, name: str) -> Path:
        """An empty log file for one server."""
        number = len(list(self.folder.glob(f"{name}-*.log")))
        path = self.folder / f"{name}-{self.worker}-{number}.log"
        path.touch()
        return path
