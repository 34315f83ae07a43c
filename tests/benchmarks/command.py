"""The toolkit's command line, as an operator uses it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.stage import ROOT, TrialFailed

ADAPTOR = str(Path(sys.executable).with_name("adaptor"))


@contextmanager
def adaptor_run(folder: Path, environment: Mapping[str, str], *arguments: str) -> Iterator[int]:
    """`adaptor run` in a folder until the block ends, then SIGTERM: its process id.

    Raises TrialFailed if the block waited in vain (TimeoutError), or it did not end in good order.
    """
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [ADAPTOR, "run", *arguments],
            cwd=folder,
            env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=output,
        )
    try:
        yield process.pid
        process.terminate()
        status = process.wait(30)
    except (TimeoutError, subprocess.TimeoutExpired) as late:
        raise TrialFailed(f"`adaptor run`: {late}") from None
    finally:
        process.kill()
        process.wait()
    if status:
        raise TrialFailed(f"`adaptor run` ended with status {status}")
