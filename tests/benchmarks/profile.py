"""`make profile`: where the time of an event goes, stage by stage, in the toolkit as it runs.

A first trial measures, undisturbed, what each kind of thread takes of the processor. In a second one py-spy looks from
outside, some hundred times a second, at the thread that holds the interpreter: the shares of its functions divide what
was measured. So no product code knows that it is watched, and nothing is made slower in one place more than in another.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.benchmarks.jobs import JOBS
from tests.benchmarks.options import add_options, options_of
from tests.benchmarks.report import aligned, echo
from tests.benchmarks.stage import PEERS, Stage
from tests.benchmarks.stages import STAGES, Profile, read
from tests.benchmarks.task import Task
from tests.benchmarks.watch import Figures
from tests.benchmarks.watches import HeldWatch
from tests.services import wait_until

_RATE = 500  # samples a second
_TIMES = 3  # as many events as a trial has, so that there are samples enough
_UNFIT = ("f", "g", "h")
_PY_SPY = PEERS.with_name("py-spy")


def main() -> int:
    """Prints two tables: the stages, and the functions in which most of the time was spent."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.profile", description=__doc__)
    parser.add_argument("--job", choices=[job.key for job in JOBS if job.key not in _UNFIT], default="a")
    parser.add_argument("--contender", default="toolkit", help="the first whose name begins so")
    parser.add_argument("--functions", type=int, default=25, help="how many functions to list")
    parser.add_argument("--stacks", type=Path, metavar="FILE", help="keep the samples there, for a flame graph")
    add_options(parser)
    asked = parser.parse_args()
    job = next(job for job in JOBS if job.key == asked.job)
    named = sorted(job.contenders, key=lambda one: one.name != asked.contender)
    contender = next((one for one in named if one.name.startswith(asked.contender)), None)
    if not _PY_SPY.exists():
        parser.error("py-spy is not installed: `make profile` does it")
    if contender is None:
        parser.error(f"job {job.key} has {'; '.join(one.name for one in job.contenders)}")
    with tempfile.TemporaryDirectory(prefix="adaptor-profile-", ignore_cleanup_errors=True) as folder:
        stage = Stage.on(Path(folder), options_of(asked, events=job.full * _TIMES))
        stacks = asked.stacks or Path(folder) / "stacks"
        undisturbed = job.trial(replace(stage, watch="threads"), job, contender)
        job.trial(replace(stage, watch="held", meanwhile=partial(_look_at, stacks)), job, contender)
        profile = read(stacks.read_text().splitlines())
    echo(f"({job.key}) {job.title}: {contender.name} ({contender.configuration})")
    echo(*_lines(profile, undisturbed, asked.functions))
    return 0


def _look_at(stacks: Path, task: Task, process: int) -> None:
    """Start py-spy when the first event is in hand, and let the work go on once it looks; wait for it."""
    folder = Path(task.folder)
    wait_until((folder / HeldWatch.FIRST).exists, 60.0)
    how = ["--format", "raw", "--rate", str(_RATE), "--threads", "--function", "--gil", "--output", str(stacks)]
    command = [str(_PY_SPY), "record", *how, "--pid", str(process)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as spy:
        assert spy.stdout is not None
        said = spy.stdout.readline()
        (folder / HeldWatch.GO).touch()
        said += spy.stdout.read()
    if not stacks.exists():
        raise SystemExit(f"py-spy did not look: {said.strip()}")


def _lines(profile: Profile, figures: Figures, functions: int) -> list[str]:
    user, kernel = (_of(figures, f"{mode}:") for mode in ("user", "kernel"))
    speed = f"{figures['events_per_second']:,.0f} events/s, {figures['cpu_us']:.1f} µs of CPU per event"
    per_function = profile.per_function(user).most_common()
    stages = [["stage", "CPU µs/event", "mostly in"]]
    for stage, spent in sorted(profile.per_stage(user).items(), key=lambda item: STAGES.index(item[0])):
        mostly = [name for (of, name), _ in per_function if of == stage][:3]
        stages.append([stage, f"{spent:.1f}", ", ".join(mostly)])
    by_cost = sorted(user, key=lambda name: -user[name] - kernel[name])
    threads = [["thread", "user µs/event", "kernel µs/event"]]
    threads += [[name, f"{user[name]:.1f}", f"{kernel[name]:.1f}"] for name in by_cost]
    busiest = [["function", "CPU µs/event", "stage"]]
    busiest += [[name, f"{spent:.2f}", stage] for (stage, name), spent in per_function[:functions]]
    return [
        f"{speed}; {profile.total} samples",
        *("", "Threads", *aligned(threads)),
        *("", "Stages, in user mode: the kernel's part stands above", *aligned(stages)),
        *("", "Functions, by the time spent in themselves", *aligned(busiest)),
    ]


def _of(figures: Figures, prefix: str) -> dict[str, float]:
    """The figures whose names begin so, without the prefix."""
    return {name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix)}


if __name__ == "__main__":
    sys.exit(main())
