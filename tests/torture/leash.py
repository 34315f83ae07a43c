"""Runs a command that dies with the thread that started it: `python leash.py PARENT COMMAND…`.

PARENT is the process id of that thread's process. The standard library alone, and little of it: it runs at every start.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; it survives the exec below, and reaches a stopped process too

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):  # it died before the line above
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])
