"""Several processes of one adaptor under one command: started, watched, started again, stopped together."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

import structlog

from adapter_sdk.cli.common import WRONG_CONFIGURATION

log = structlog.get_logger("adaptor")

# Seconds: the first and the longest pause before a process that ended is started again, and the life after which a
# process counts as having started well.
_FIRST_PAUSE, _LONGEST_PAUSE, _WELL = 1.0, 30.0, 60.0
# prctl(2): the signal that the kernel sends to a process whose parent has ended, however it did.
_PR_SET_PDEATHSIG = 1


class Supervisor:
    """Runs `work` in `count` processes, until a signal ends them all or one finds that the settings are wrong."""

    def __init__(self, count: int, work: Callable[[], None], adaptor: str) -> None:
        self._count = count
        self._work = work
        self._adaptor = adaptor
        self._started: dict[int, float] = {}
        self._pause = _FIRST_PAUSE
        self._stopping = False

    def run(self) -> int:
        """Returns the exit status: 0, or that of the first process that did not end in good order after a signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)
        for _ in range(self._count):
            if not self._stopping:
                self._start()
        status = 0
        while self._started:
            process, ended = os.wait()
            code = os.waitstatus_to_exitcode(ended)
            lived = time.monotonic() - self._started.pop(process, 0.0)
            if self._stopping:
                # One that had not yet begun to listen for signals ends by them.
                status = status or (code if code not in (-signal.SIGTERM, -signal.SIGINT) else 0)
            elif code == WRONG_CONFIGURATION:
                status = code
                self._pass_on(signal.SIGTERM, None)
            else:
                self._start_again(process, code, lived)
        return status

    def _start(self) -> None:
        process = os.fork()
        if process:
            self._started[process] = time.monotonic()
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        self._work()  # what it raises becomes this process's exit status as it would without a supervisor
        sys.exit(0)

    def _start_again(self, process: int, code: int, lived: float) -> None:
        self._pause = _FIRST_PAUSE if lived > _WELL else min(self._pause * 2, _LONGEST_PAUSE)
        facts = {"adaptor": self._adaptor, "process": process, "status": code}
        log.error("process ended", again_in=self._pause, **facts)
        deadline = time.monotonic() + self._pause
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        if not self._stopping:
            self._start()

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        """Every signal goes to all: the second one ends them at once."""
        self._stopping = True
        for process in list(self._started):
            os.kill(process, number)
