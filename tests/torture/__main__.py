"""The command line: plays the scripts of the families side by side, judges the evidence, and says what broke."""

import argparse
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.services import rabbitmq
from tests.services.rabbitmq import Node
from tests.services.run import Run
from tests.services.supervised import StartFailed, start_on_free_ports
from tests.torture import inject
from tests.torture.backends import BACKENDS, Backend
from tests.torture.broken import BREAKS
from tests.torture.campaign import BrokerState, Campaign
from tests.torture.report import echo, lines
from tests.torture.script import Size, broker_faults, script
from tests.torture.traffic import Replies
from tests.torture.verdict import Verdict, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for. `patience` is how many seconds the work has to end once the last fault has struck.

    `silence` is how many may pass with nothing done: more break the promise to go on.
    """

    size: Size
    restarts: int
    seed: int
    families: Sequence[str]
    ordered: bool
    broken: str | None
    inject: bool
    patience: float
    silence: float

    @property
    def limit(self) -> float:
        """Seconds after which no more is sent, whatever is left: several times what it usually takes."""
        return 120 + self.size.events / 10 + 15 * self.size.kills + 60 * self.restarts


def torture(order: Order, folder: Path) -> list[Verdict]:
    """One verdict per family. Everything that is started is ended, also when this is interrupted."""
    (folder / "logs").mkdir(parents=True)
    run = Run(folder / "logs", os.getpid(), "torture")
    node = start_on_free_ports(lambda: Node(run, "rabbitmq"))
    try:
        replies = Replies(node.broker.url, [f"torture.{family}.done" for family in order.families])
        replies.ready.wait(60)
        broker = BrokerState(node)
        backends = [BACKENDS[family](folder / family, run, ordered=order.ordered) for family in order.families]
        campaigns = [_campaign(order, backend, broker, replies) for backend in backends]
        try:
            _play(campaigns, broker, broker_faults(order.restarts, order.seed))
        finally:
            replies.end()
    finally:
        node.end()
    for campaign in campaigns:
        if campaign.failure is not None:
            raise campaign.failure
    return [
        judge(campaign.family, backend.what, campaign.evidence, broker.restarts, ordered=order.ordered)
        for campaign, backend in zip(campaigns, backends, strict=True)
    ]


def _campaign(order: Order, backend: Backend, broker: BrokerState, replies: Replies) -> Campaign:
    return Campaign(
        backend,
        script(backend.family, order.size, order.seed, ordered=order.ordered),
        broker,
        replies,
        broken=order.broken,
        inject=random.Random(f"{order.seed} {backend.family} inject") if order.inject else None,
        deadline=time.monotonic() + order.limit,
        patience=order.patience,
        silence=order.silence,
    )


def _play(campaigns: Sequence[Campaign], broker: BrokerState, faults: Sequence[bool]) -> None:
    threads = [threading.Thread(target=campaign.run, name=campaign.family, daemon=True) for campaign in campaigns]
    for thread in threads:
        thread.start()
    for number, kill in enumerate(faults, 1):
        due = number / (len(faults) + 1)
        while any(thread.is_alive() for thread in threads) and _progress(campaigns) < due:
            time.sleep(0.1)
        if _progress(campaigns) < 1:
            broker.restart(kill)
    for thread in threads:
        thread.join()


def _progress(campaigns: Sequence[Campaign]) -> float:
    return sum(campaign.progress for campaign in campaigns) / len(campaigns)


def main() -> int:
    """0 if every promise was kept, 1 if one was broken, 2 if the torture could not take place."""
    asked = _arguments()
    order = Order(
        size=Size(events=asked.events, kills=asked.kills),
        restarts=asked.broker_restarts,
        seed=asked.seed,
        families=(asked.families or (BREAKS[asked.broken].family if asked.broken else "sql,files,soap")).split(","),
        ordered=asked.ordered or bool(asked.broken and BREAKS[asked.broken].ordered),
        broken=asked.broken,
        inject=asked.inject,
        patience=asked.patience,
        silence=asked.silence,
    )
    rabbitmq.find()
    if asked.inject:
        inject.find()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="torture-"))
    began = datetime.now(UTC)
    try:
        verdicts = torture(order, folder)
    except (StartFailed, TimeoutError) as error:
        echo([f"the torture did not take place: {error}"])
        return 2
    echo(lines(verdicts, asked.seed))
    if asked.json:
        asked.json.write_text(json.dumps(_report(began, order, verdicts), indent=2) + "\n")
    broken = any(verdict.broken for verdict in verdicts)
    if broken:
        echo([f"logs, ledgers and backends are in {folder}"])
    elif asked.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--events", type=int, default=2000, help="events of each family")
    parser.add_argument("--kills", type=int, default=25, help="kills of each family; other faults follow from them")
    parser.add_argument("--broker-restarts", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1, help="the same seed: the same events and the same faults")
    parser.add_argument("--families", default="", metavar="LIST", help="of sql,files,soap; default: all")
    parser.add_argument("--ordered", action="store_true", help="adaptors that keep order, and events that need it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    parser.add_argument("--folder", type=Path, help="a new folder to work in, which is kept")
    parser.add_argument("--patience", type=float, default=120, help="seconds for the work to end after the last fault")
    parser.add_argument("--silence", type=float, default=30, help="seconds in which something must be done")
    parser.add_argument("--broken", choices=sorted(BREAKS), help="break the protocol, to see that it is noticed")
    parser.add_argument(
        "--inject", action="store_true", help="have strace kill each process at a random system call, again and again"
    )
    asked = parser.parse_args()
    unknown = set(asked.families.split(",")) - {"", *BACKENDS}
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there is {', '.join(BACKENDS)}")
    return asked


def _report(began: datetime, order: Order, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {
        "began": began.isoformat(timespec="seconds"),
        "seed": order.seed,
        "ordered": order.ordered,
        "broken": order.broken,
        "python": platform.python_version(),
        "toolkit": version("legacy-event-adaptor-toolkit"),
        "pika": version("pika"),
        "families": [verdict.as_json() for verdict in verdicts],
    }


if __name__ == "__main__":
    sys.exit(main())
