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
from typing import Self

from tests.benchmarks.job import Job
from tests.benchmarks.options import Options
from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Figures
from tests.services import rabbitmq
from tests.services.rabbitmq import Broker
from tests.services.run import Run
from tests.torture import leash

ROOT = Path(__file__).parents[2]
PEERS = Path(f"{sys.prefix}-peers") / "bin" / "python"
"""The environment of the peers, beside that of the toolkit: `make bench` makes it."""


class TrialFailed(Exception):
    """A contender did not do what it was asked to."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where trials happen. `folder` is on a real disk, so that syncing costs what it costs.

    The profiler has its own `watch` in place of a job's, and is told `meanwhile` of the process that runs.
    """

    options: Options
    broker: Broker
    run: Run
    folder: Path
    watch: str | None = None
    meanwhile: Callable[[Task, int], None] | None = None

    @classmethod
    def on(cls, folder: Path, options: Options) -> Self:
        """A new stage, with a broker that ends with this process, or TEST_AMQP_URL. Raises Missing."""
        (folder / "logs").mkdir()
        run = Run(folder / "logs", os.getpid(), "bench")
        return cls(options, rabbitmq.shared_broker(run), run, folder)

    @contextmanager
    def place(self) -> Iterator[Path]:
        """An empty folder for one trial, removed afterwards."""
        with tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def task(
        self,
        job: Job,
        contender: Contender,
        folder: Path,
        *,
        url: str = "",
        watch: str = "throughput",
        settings: Mapping[str, str] | None = None,
    ) -> Task:
        """A task with what follows from the options, whose settings win over those of the job."""
        options = self.options
        return Task(
            job=job.key,
            contender=contender.name,
            watch=self.watch or watch,
            url=url,
            events=options.events_of(job),
            prefetch=options.prefetch,
            rest=contender.rest,
            folder=str(folder),
            result=str(folder / "result.json"),
            settings={"ADAPTOR_BROKER_QUEUE_TYPE": options.queue_type, **(settings or {}), **options.settings},
        )

    def play(self, contender: Contender, task: Task, meanwhile: Callable[[], None] = lambda: None) -> Figures:
        """Run a contender's process to its end: its figures. Raises TrialFailed."""
        if contender.peer and not PEERS.exists():
            raise TrialFailed("the peers are not installed: `make bench` does it")
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
            meanwhile()
            if self.meanwhile:
                self.meanwhile(task, process.pid)
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
