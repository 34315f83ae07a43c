"""The three legacy systems as programs of their own, and what they themselves say they have done."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from samples.shop.stock import program as stock_program

# Seconds that a program has to say that it is ready, and to end.
_PATIENCE = 20.0
# Seconds that the warehouse takes to pick an order; hours, anywhere else.
_PICKING = 1.0


class LegacySystems:
    """ERP, warehouse and stock database in `folder`, running between enter and exit."""

    def __init__(self, folder: Path) -> None:
        self.warehouse_in, self.warehouse_out = folder / "warehouse-in", folder / "warehouse-out"
        self.warehouse_log = folder / "warehouse.log"
        self.stock_db = folder / "stock.db"
        self.erp_url = ""
        self._erp_data = folder / "erp"
        self._programs: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        self.warehouse_in.mkdir()
        self.warehouse_out.mkdir()
        stock_program.create(self.stock_db)
        self.start_erp()
        self._start(
            "samples.shop.warehouse.program",
            *("--in", str(self.warehouse_in), "--out", str(self.warehouse_out), "--log", str(self.warehouse_log)),
            *("--answer-after", str(_PICKING)),
        )
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for name in list(self._programs):
            self._stop(name)

    def start_erp(self) -> None:
        """Start the ERP, on the port it had before if there was one."""
        port = str(urlsplit(self.erp_url).port or 0)
        ready = self._start("samples.shop.erp.server", "--port", port, "--data", str(self._erp_data))
        self.erp_url = ready["url"]

    def stop_erp(self) -> None:
        """The ERP is down: nobody listens on its port."""
        self._stop("samples.shop.erp.server")

    def lose_next_answer(self, lose: bool) -> None:
        """Whether the ERP does what it is asked and then cuts the connection instead of answering."""
        mischief = json.dumps({"mode": "lose" if lose else "well"}).encode()
        with urllib.request.urlopen(self._erp("/control"), mischief, timeout=_PATIENCE):
            pass

    def erp_orders(self) -> list[dict[str, Any]]:
        """The ERP's own books."""
        with urllib.request.urlopen(self._erp("/orders"), timeout=_PATIENCE) as answer:
            orders: list[dict[str, Any]] = json.load(answer)
        return orders

    def picks(self) -> list[dict[str, Any]]:
        """The warehouse's own log: one entry per pick list that it took."""
        if not self.warehouse_log.exists():
            return []
        return [json.loads(line) for line in self.warehouse_log.read_text(encoding="utf-8").splitlines()]

    def reservations(self) -> dict[str, list[tuple[str, int]]]:
        """The stock database's own rows, by order."""
        return stock_program.reservations(self.stock_db)

    def _erp(self, path: str) -> str:
        return self.erp_url.removesuffix("/soap") + path

    def _start(self, module: str, *arguments: str) -> dict[str, Any]:
        program = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )
        self._programs[module] = program
        line = program.stdout.readline() if program.stdout else ""
        if not line:
            raise RuntimeError(f"{module} ended with status {program.wait(_PATIENCE)} before it was ready")
        ready: dict[str, Any] = json.loads(line)
        return ready

    def _stop(self, module: str) -> None:
        program = self._programs.pop(module)
        program.terminate()
        try:
            program.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
        if program.stdout:
            program.stdout.close()
