"""The sample ERP on a bad day: one answer in twenty is lost, and some calls are done after the client gave up."""

import argparse
import signal
import threading
from pathlib import Path

from samples.shop.erp.books import Books
from samples.shop.erp.mischief import Mischief, Mode, Turns
from samples.shop.erp.server import Erp, ErpServer

LOSE_EVERY, SLOW_EVERY = 20, 53
SLOW = 2.5
"""Seconds until a slow call is done. Longer than the adaptor's timeout, shorter than that and `settle`."""


class BadDay(Turns):
    """Two mischiefs at once; every call counts, questions too."""

    def __init__(self) -> None:
        super().__init__(Mischief(Mode.SLOW, SLOW))

    def next(self) -> Mode:
        call = next(self._calls)
        if call % LOSE_EVERY == 0:
            return Mode.LOSE
        return Mode.SLOW if call % SLOW_EVERY == 0 else Mode.WELL


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    asked = parser.parse_args()
    erp = Erp(Books(asked.data))
    erp.turns = BadDay()
    server = ErpServer(erp, asked.port)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.stop).start())
    server.run()


if __name__ == "__main__":
    main()
