"""Gives a process a wall clock that can be put forward and back while it runs, as an operator or NTP would.

Python runs this file at its start where its folder is on the path. The seconds that the clock is off are a float in the
file that TORTURE_CLOCK names; all processes of an adaptor share them. The monotonic clock is left alone, as Linux does.
"""

import mmap
import os
import struct
import time

if _file := os.environ.get("TORTURE_CLOCK"):
    with open(_file, "rb") as _opened:  # noqa: PTH123 - this runs at every start: no more imports than it takes
        _off = mmap.mmap(_opened.fileno(), struct.calcsize("d"), access=mmap.ACCESS_READ)
    _true = time.time

    def _time() -> float:
        return _true() + float(struct.unpack_from("d", _off)[0])

    time.time = _time
    time.time_ns = lambda: int(_time() * 1e9)
