"""The benchmark in its shortest form: tiny jobs, for the shape of what it says and not for its figures."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

from tests.services.rabbitmq import Broker

ROOT = Path(__file__).parents[2]
PIKA, TOOLKIT = "pika Blocking, coalesced", "toolkit, idempotent"


def benchmark(broker: Broker, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it on this broker, with all its files in the folder."""
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "TEST_AMQP_URL": broker.url,
            "TEST_MANAGEMENT_URL": broker.management_url,
            "TMPDIR": str(folder),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_a_tiny_run_ends_with_a_table_a_file_and_the_targets(fresh_rabbitmq: Broker, tmp_path: Path) -> None:
    """Both contenders handle every event twice over; what the targets say follows from the trials in the file."""
    report = tmp_path / "report.json"
    arguments = ["--jobs", "a", "--events", "200", "--repeats", "2", "--json", str(report)]
    ended = benchmark(fresh_rabbitmq, tmp_path, *arguments, "--only", PIKA, "--only", TOOLKIT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(report.read_text())

    trials = {one["contender"]: one["trials"] for one in told["jobs"]["a"]}
    assert list(trials) == [PIKA, TOOLKIT]
    assert all(len(played) == 2 for played in trials.values())
    cpu = {name: median(trial["cpu_us"] for trial in played) for name, played in trials.items()}
    assert all(spent > 0 for spent in cpu.values())

    beside_pika, beside_faststream, with_ledger = told["targets"]
    assert beside_pika["measured"] == cpu[TOOLKIT] / cpu[PIKA]
    assert beside_pika["state"] == ("met" if cpu[TOOLKIT] / cpu[PIKA] <= 1.6 else "missed")
    assert [(one["measured"], one["state"]) for one in (beside_faststream, with_ledger)] == [(None, "not measured")] * 2

    table, targets = re.split(r"\n\n(?=load at the end)", ended.stdout)
    rows = [line for line in table.splitlines() if re.match(r"  \S.* to .* to ", line)]
    assert [line.strip().startswith(name) for line, name in zip(rows, (PIKA, TOOLKIT), strict=True)] == [True, True]
    assert [line.split()[-1] for line in targets.splitlines()[3:]] == [beside_pika["state"], "measured", "measured"]
    assert list(tmp_path.iterdir()) == [report]


def test_two_processes_share_the_events_of_a_trial(fresh_rabbitmq: Broker, pg_url: str, tmp_path: Path) -> None:
    """Both take part, every event is handled once, and the CPU of both is seen: less than it takes to start them."""
    report = tmp_path / "report.json"
    arguments = ["--jobs", "i", "--events", "40", "--repeats", "1", "--only", "2 processes", "--json", str(report)]
    ended = benchmark(fresh_rabbitmq, tmp_path, *arguments, TEST_PG_URL=pg_url)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(report.read_text())
    (played,) = told["jobs"]["i"]
    (figures,) = played["trials"]
    assert (played["contender"], figures["handled"]) == ("toolkit, 2 processes", 40)
    assert 0 < figures["cpu_us"] * 40 / 1e6 < 1
    assert figures["seconds"] >= 40 * 0.005 / 8  # the pauses of all handlers, among four threads of each
    assert [target["state"] for target in told["targets"]] == ["not measured"]
