"""What all trials of one run share: the options, the broker, a folder; and how a contender's process is started."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.benchmarks.job import Job
from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Figures
from tests.services import rabbitmq
from tests.services.rabbitmq import Node
from tests.services.run import Run
from tests.services.supervised import start_on_free_ports
from tests.torture import leash

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
"""The environment of the peers: `make bench` makes it."""


class TrialFailed(Exception):
    """A contender did not do what it was asked to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked for. `events` replaces every job's own number; `settings` are variables for the toolkit alone."""

    events: int | None = None
    quick: bool = False
    repeats: int = 5
    size: int = 600
    prefetch: int = 1000
    queue_type: str = "quorum"
    rate: int = 200
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where trials happen. `folder` is on a real disk, so that syncing costs what it costs."""

    options: Options
    node: Node
    run: Run
    folder: Path

    @classmethod
    def on(cls, folder: Path, options: Options) -> Self:
        """A new stage, with a broker of its own. Raises Missing."""
        rabbitmq.find()
        (folder / "logs").mkdir()
        run = Run(folder / "logs", os.getpid(), "bench")
        return cls(options, start_on_free_ports(lambda: Node(run, "rabbitmq")), run, folder)

    def end(self) -> None:
        """End the broker."""
        self.node.end()

    @contextmanager
    def place(self) -> Iterator[Path]:
        """An empty folder for one trial, removed afterwards."""
        with tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def task(self, job: Job, contender: Contender, folder: Path, **of_job: Any) -> Task:
        """A task with what follows from the options; `of_job` is what the job adds."""
        options = self.options
        return Task(
            job=job.letter,
            contender=contender.name,
            events=options.events or (job.quick if options.quick else job.full),
            prefetch=options.prefetch,
            folder=str(folder),
            result=str(folder / "result.json"),
            settings={"ADAPTOR_BROKER_QUEUE_TYPE": options.queue_type, **options.settings},
            **of_job,
        )

    def play(self, contender: Contender, task: Task, meanwhile: Callable[[int], None] = lambda _: None) -> Figures:
        """Run a contender's process to its end: its figures. `meanwhile` gets its id. Raises TrialFailed."""
        folder = Path(task.folder)
        python = PEERS if contender.peer else Path(sys.executable)
        command = [sys.executable, "-S", "-E", leash.__file__, str(os.getpid()), str(python)]
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [*command, "-m", "tests.benchmarks.contend"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        try:
            _tell(process, task)
            meanwhile(process.pid)
            process.wait(60 + task.events / 100)
        except subprocess.TimeoutExpired:
            raise TrialFailed(f"no end after {60 + task.events / 100:g} s; {_last_line(folder)}") from None
        finally:
            process.kill()
            process.wait()
        result = Path(task.result)
        if not result.exists():
            raise TrialFailed(f"it ended with status {process.returncode}; {_last_line(folder)}")
        figures: Figures = json.loads(result.read_text())
        return figures


def _tell(process: "subprocess.Popen[bytes]", task: Task) -> None:
    assert process.stdin is not None
    process.stdin.write(task.to_json().encode() + b"\n")
    process.stdin.flush()


def _last_line(folder: Path) -> str:
    lines = (folder / "output").read_text(errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"
