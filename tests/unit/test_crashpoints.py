"""The hook behind the crash-point suite: free when not armed, exact when armed, and every name known."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapter_sdk import crashpoints
from adapter_sdk.errors import ConfigError

ROOT = Path(crashpoints.__file__).parent.parent
PROGRAM = """
from adapter_sdk.crashpoints import arm_from_environment, reach
arm_from_environment()
for point in ("claimed", "applied", "claimed", "recorded", {more}):
    reach(point)
    print(point, flush=True)
"""


def run(wanted: str | None, more: str = "") -> "subprocess.CompletedProcess[str]":
    """A process that comes to four points, and to `more` ones."""
    environment = {} if wanted is None else {crashpoints.VARIABLE: wanted}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(more=more)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_crash_point_has_its_place_in_the_code_and_every_place_a_name() -> None:
    """The list, the suite and the code speak of the same points; a protocol, in its file, passes each once."""
    sources = [path.read_text() for folder in ("adapter_sdk", "adaptors") for path in (ROOT / folder).rglob("*.py")]
    reached = [re.findall(r'^\s+reach\("([^"]+)"\)', source, re.MULTILINE) for source in sources]
    assert {name for names in reached for name in names} == set(crashpoints.POINTS)
    assert all(len(names) == len(set(names)) for names in reached)


def test_an_armed_process_dies_at_its_point_the_time_it_was_told() -> None:
    """SIGKILL at the second `claimed`: what comes before has happened, nothing after it, and the point is named."""
    ended = run("claimed:2")
    assert (ended.returncode, ended.stdout.split()) == (-signal.SIGKILL, ["claimed", "applied"])
    assert ended.stderr == crashpoints.last_words("claimed")


def test_a_process_that_is_not_armed_passes_every_point() -> None:
    """Without the variable the points are nothing, whatever their names."""
    ended = run(None, '"nowhere"')
    assert (ended.returncode, len(ended.stdout.split())) == (0, 5)


def test_an_armed_process_refuses_a_place_that_has_no_name_in_the_list() -> None:
    """A misspelt point in the code is an error in the first test that arms any point."""
    ended = run("settled", '"nowhere"')
    assert "'nowhere' is not a crash point" in ended.stderr


@pytest.mark.parametrize("wanted", ["nowhere", "claimed:0", "claimed:x", "claimed:", ":2"])
def test_what_cannot_be_armed_is_said(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not in the list, or a count that is none, is a ConfigError that shows the names."""
    monkeypatch.setenv(crashpoints.VARIABLE, wanted)
    with pytest.raises(ConfigError, match=rf"ADAPTOR_CRASH_POINT={wanted} is not possible; .* sql\.committed"):
        crashpoints.arm_from_environment()
