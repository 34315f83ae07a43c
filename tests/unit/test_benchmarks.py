"""What the benchmark makes of its figures, without a broker."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import report
from tests.benchmarks.contenders import ROSTER, faststream_peer, raw_pika, toolkit
from tests.benchmarks.jobs import JOBS
from tests.benchmarks.jobs.processes import cpu_of_family
from tests.benchmarks.results import Results
from tests.benchmarks.stages import RULES, read, stage_of
from tests.benchmarks.targets import TARGETS
from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Watch
from tests.benchmarks.workload import OrderEvent, bodies, event_body

ROOT = Path(__file__).parents[2]
JOB = JOBS[0]


def results(**cpu: tuple[float, ...]) -> Results:
    """Trials of job (a): the CPU of each, by contender."""
    contenders = {"pika": raw_pika.BLOCKING, "toolkit": toolkit.IDEMPOTENT, "faststream": faststream_peer.FASTSTREAM}
    made = Results()
    for name, values in cpu.items():
        for value in values:
            made.add("a", contenders[name].name, {"cpu_us": value, "events_per_second": 1e6 / value})
    return made


def verdicts(made: Results) -> dict[str, tuple[float | None, str]]:
    """What was measured, and the state, of each target of job (a) by its text."""
    return {target.text: target.judge(made) for target in TARGETS if target.job == "a"}


def test_a_target_is_judged_by_the_medians_of_the_run() -> None:
    """One trial that is far off changes nothing; a ratio beyond the bound is missed, one within it is met."""
    judged = verdicts(results(pika=(30, 31, 900), toolkit=(45, 46, 47), faststream=(250, 251, 252)))
    assert judged["CPU per event at most 1.6 x pika Blocking, coalesced"] == (46 / 31, "met")
    assert judged["CPU per event at least 5 x less than FastStream"] == (251 / 46, "met")
    slower = verdicts(results(pika=(30,), toolkit=(49,), faststream=(240,)))
    assert [state for _, state in slower.values()] == ["missed", "missed", "not measured"]


def test_a_target_without_its_figures_is_not_measured() -> None:
    """Where a contender did not take part or failed, nothing is called met, not even with figures from other trials."""
    assert {state for _, state in verdicts(results(toolkit=(1,))).values()} == {"not measured"}
    failed = results(pika=(30,), toolkit=(1,), faststream=(250,))
    failed.fail("a", toolkit.IDEMPOTENT.name, "it ended with status 1")
    assert {state for _, state in verdicts(failed).values()} == {"not measured"}


def test_the_table_shows_medians_with_their_spread_and_says_who_failed() -> None:
    """Each contender that was tried has a line: figures and configuration, or why there are none."""
    made = results(pika=(30, 20, 1000), toolkit=(50,))
    made.fail("a", toolkit.LEDGER.name, "3 of 4 events were not settled")
    title, head, *lines = report.table(JOB, made, 20_000)
    assert title == "(a) consume, validate, handle, ack; 20,000 events"
    assert head.split() == ["contender", "events/s", "CPU", "µs/event", "configuration"]
    assert [re.split(r"\s{2,}", line.strip()) for line in lines] == [
        ["pika Blocking, coalesced", "33,333 (1,000 to 50,000)", "30 (20 to 1,000)", raw_pika.BLOCKING.configuration],
        ["toolkit, idempotent", "20,000", "50", toolkit.IDEMPOTENT.configuration],
        ["toolkit, ledger", "-", "-", "FAILED: 3 of 4 events were not settled"],
    ]


def test_every_target_names_a_job_and_figures_that_are_measured() -> None:
    """With a figure for every contender of every job each target is met or missed: none asks for what nobody gives."""
    made = Results()
    for job in JOBS:
        for contender in job.contenders:
            made.add(job.key, contender.name, {**dict.fromkeys(job.columns, 1.0), "events_per_second": 1.0})
    assert {job.key for job in JOBS} == set(ROSTER)
    assert {target.job for target in TARGETS} == set(ROSTER)
    assert {target.judge(made)[1] for target in TARGETS} == {"met", "missed"}
    assert json.dumps(report.as_json(JOBS, made, {}))


@pytest.mark.parametrize("size", [200, 600, 4096, 65_536])
def test_events_are_valid_different_and_of_the_size_that_was_asked_for(size: int) -> None:
    """Every body is a valid event of its own with exactly so many bytes, or the fewest that an order takes."""
    made = list(bodies(3, size))
    assert {len(body) for body in made} == {max(size, len(event_body(0, 0)))}
    assert len({OrderEvent.model_validate_json(body).id for body in made}) == 3
    assert len(event_body(0, 0)) < 400


def test_a_small_prefetch_never_waits_for_an_ack_that_waits_for_it() -> None:
    """Consumers by hand that ack every so many events ack within the prefetch, whatever it is."""
    for prefetch in (1, 3, 10, 200, 1000):
        task = Task(job="a", contender="", events=1, prefetch=prefetch, rest=0, folder="", result="")
        assert 1 <= task.ack_every <= prefetch


def test_a_trial_ends_with_the_last_settlement_where_it_is_told_of_them() -> None:
    """Handling the last event is not the end for a contender that tells of its acks."""
    (event,) = (OrderEvent.model_validate_json(body) for body in bodies(1, 600))
    watch = Watch(2)
    watch.expect_settlements()
    for _ in range(2):
        watch.handled(event.data)
    watch.settled(1)
    assert not watch.finished.is_set()
    watch.settled(1)
    assert watch.finished.is_set()
    assert watch.figures(rest=0)["events_per_second"] > 0


def test_the_cpu_of_several_processes_is_that_of_the_first_and_its_children() -> None:
    """Two processes that spend 50 ms each have spent 100 ms together, and nothing more while they wait."""
    spend = (
        "import os, sys, time\nos.fork()\nwhile time.process_time() < 0.05: pass\nos.write(1, b'.'); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", spend], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.read(2) == b".."
        spent = cpu_of_family(process.pid)
        assert cpu_of_family(process.pid) - spent < 0.01
        process.stdin.close()
    assert 0.1 <= spent < 1


def test_samples_are_put_down_to_the_innermost_function_that_is_known() -> None:
    """A library's function belongs to the stage that called it, and what no rule knows to the thread's own stage."""
    worker = "thread (12): bench-worker-{};Workers._work (adapter_sdk/workers.py:9);{} {}"
    claim = "Pipeline._claim (adapter_sdk/pipeline.py:1);_SqliteRows.run (adapter_sdk/ledger/sqlite.py:3)"
    lines = [
        worker.format(2, claim, 5),
        worker.format(1, "take (queue.py:7)", 1),
        "thread (13): rabbitmq-consume;decode_frame (pika/frame.py:2) 3",
        "thread (14): MainThread;main (app.py:2) 2",
    ]
    profile = read(lines)
    assert profile.stages == {
        "bench-worker": {"claim": 5, "hand-over": 1},
        "rabbitmq-consume": {"transport read": 3},
        "MainThread": {"other": 2},
    }
    assert profile.per_stage({"bench-worker": 12.0, "rabbitmq-consume": 4.0}) == {
        "claim": 10.0,
        "hand-over": 2.0,
        "transport read": 4.0,
        "other": 0.0,
    }
    assert stage_of("MainThread", []) == "other"


def test_every_rule_of_the_profile_names_code_that_exists() -> None:
    """No rule has outlived the functions that it was made for."""
    functions = [
        f"{path.relative_to(ROOT)}:{node.name}"
        for folder in ("adapter_sdk", "adaptors", "tests/benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert [pattern for pattern, _ in RULES if not any(re.search(pattern, name) for name in functions)] == []


def test_the_peers_validate_with_the_toolkits_pydantic() -> None:
    """What both environments have is of one version, and all that is asked for is locked."""
    ours, theirs = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements" / f"{name}.lock").read_text(), re.MULTILINE))
        for name in ("runtime", "peers")
    )
    assert {name: version for name, version in theirs.items() if ours.get(name, version) != version} == {}
    asked = (ROOT / "requirements" / "peers.in").read_text().splitlines()
    names = {re.split(r"[\[=<>~]", line)[0] for line in asked if not line.startswith("#")}
    assert {"pydantic"} <= names <= set(theirs)


def test_the_names_of_contenders_tell_them_apart() -> None:
    """Within a job every contender has a name of its own, by which its process finds it."""
    for contenders in ROSTER.values():
        names = [contender.name for contender in contenders]
        assert len(set(names)) == len(names)
        assert all(isinstance(contender, Contender) and contender.configuration for contender in contenders)
