"""File servers that refuse, vanish or fall silent: what is said, what is tried again, and nothing is dropped twice."""

import errno
import math
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk import BackendUnavailable, Event, InDoubt, NotApplied, RetryPolicy, handles
from adapter_sdk.family import Applied, Outcome
from adapter_sdk.ledger.base import State
from adapter_sdk.testing import AdaptorHarness, event_of
from adapter_sdk.testing.harness import Sections
from adaptors.files import Drop
from adaptors.files.settings import FileSettings
from adaptors.files.targets import pool
from adaptors.files.targets.remote import RemoteFolder, RemoteTarget
from tests.file_drops import MakePlace, Note, Notes, Place, Refusing, error_of, places
from tests.file_servers import SERVERS, FileServer, Started, on_ftp
from tests.services.run import Run
from tests.torture.proxy import Proxy


@pytest.fixture(scope="module")
def servers(service_run: Run) -> Iterator[Mapping[str, FileServer]]:
    """One of each kind, started when it is asked for."""
    with Started(service_run) as started:
        yield started


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, servers: Mapping[str, FileServer]) -> FileServer:
    """A server of each kind."""
    return servers[request.param]


@pytest.fixture
def line(server: FileServer) -> Iterator[Proxy]:
    """A line to the server that can be cut."""
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def make_place(tmp_path: Path, server: FileServer, line: Proxy) -> Iterator[MakePlace]:
    """Makes a place at the other end of the line."""
    with places(tmp_path, lambda drop: server.settings(drop, line.port)) as make:
        yield make


@contextmanager
def answering(words: bytes) -> Iterator[int]:
    """A server that says so much to each client, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(words)
                connection.recv(1000)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(60)


@pytest.mark.parametrize("words", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"220 welcome\r\n"])
def test_a_line_that_is_lost_during_the_login_is_an_outage_and_no_refusal(
    server: FileServer, tmp_path: Path, words: bytes
) -> None:
    """A proxy with nobody behind it, or a server that stops then, is waited for."""
    with answering(words) as port:
        family = Notes._family(FileSettings.model_validate(server.settings(tmp_path, port) | {"timeout": 1}))
        with pytest.raises(BackendUnavailable):
            family.open()
        family.close()


@pytest.mark.parametrize(
    "refusal", ["450 -a: No such file or directory.", "501 Not understood.", "504 No such option."]
)
def test_a_server_that_knows_no_options_lists_without(service_run: Run, tmp_path: Path, refusal: str) -> None:
    """NLST -a shows more on some servers; one that refuses it has told all that it tells."""
    with (
        on_ftp(service_run, without=("MLST", "MLSD"), refusal=refusal) as server,
        places(tmp_path, server.settings) as make,
    ):
        place = make()
        (place.staging / ".notes-left.0").write_text("half")
        with place.family._target.folders() as (staging, _):
            assert [name for name, _ in staging.names(".notes-")] == [".notes-left.0"]
        assert place.apply(("1", "a")) == [Applied(())]


# Without SMB: smbclient warns of handles that a cut leaves behind, whenever they are collected.
@pytest.mark.parametrize("server", ["sftp", "ftp", "ftps"], indirect=True)
def test_a_line_that_is_cut_anywhere_between_login_and_first_answer_is_an_outage(
    server: FileServer, tmp_path: Path
) -> None:
    """Whichever message is torn, such as the one that opens the channel, the adaptor waits and does not end."""

    def opened(most: float) -> int:
        """Open and close a family on a line that lets so many bytes of answers pass; how many there were."""
        proxy = Proxy(server.port, most)
        family = Notes._family(FileSettings.model_validate(server.settings(tmp_path, proxy.port)))
        try:
            family.open()
        finally:
            family.close()
            proxy.close()
        return proxy.answered

    whole, outages = opened(math.inf), 0
    for sixteenths in range(16):
        try:
            opened(whole * sixteenths // 16)
        except BackendUnavailable:
            outages += 1
    assert outages > 8, "the last cuts may fall into the farewell"


def test_a_server_that_is_not_there_is_an_outage(server: FileServer, tmp_path: Path) -> None:
    """The connection is refused: nothing of the event has left."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    family = Notes._family(FileSettings.model_validate(server.settings(tmp_path, port)))
    with pytest.raises(BackendUnavailable):
        family.probe()


def test_a_staging_folder_that_cannot_be_made_says_what_to_set(server: FileServer, tmp_path: Path) -> None:
    """A user who is shut in often may write to the drop and not beside it, where the staging would be."""
    drop = tmp_path / "in"
    drop.mkdir()
    (tmp_path / ".in.staging").touch()
    family = Notes._family(FileSettings.model_validate(server.settings(drop)))
    with pytest.raises(BackendUnavailable, match=r"\.in\.staging cannot be made \(.+\); set `staging` in \[files\]"):
        family.open()
    family.close()


def outcome_after_outages(place: Place, event: tuple[str, str], tries: int = 2) -> Outcome:
    """What became of an event that is tried again as long as there is an outage."""
    for left in reversed(range(tries)):
        [outcome] = place.apply(event)
        if isinstance(outcome, Applied) or not isinstance(error_of(outcome), BackendUnavailable) or not left:
            return outcome
    raise AssertionError


def test_a_cut_line_costs_one_try_at_most(make_place: MakePlace, line: Proxy) -> None:
    """The next one connects anew."""
    place = make_place()
    assert place.apply(("1", "a")) == [Applied(())]
    assert line.cut()
    assert outcome_after_outages(place, ("2", "b")) == Applied(())
    assert place.dropped() == {"NOTE001.TXT": "a", "NOTE002.TXT": "b"}


def test_a_line_that_was_cut_while_idle_costs_nothing(
    make_place: MakePlace, line: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers hang up on those who say nothing for minutes: that is found out before an event is in hand."""
    monkeypatch.setattr(pool, "_FRESH", 0.0)
    place = make_place()
    assert line.cut()
    assert place.apply(("1", "a")) == [Applied(())]


def test_a_line_that_falls_silent_is_given_up_in_time(make_place: MakePlace, line: Proxy) -> None:
    """After `timeout` seconds for one answer; the event is tried again."""
    place = make_place(timeout=1.0)
    assert place.apply(("1", "a")) == [Applied(())]
    assert line.go_dead()
    began = time.monotonic()
    assert outcome_after_outages(place, ("2", "b")) == Applied(())
    assert time.monotonic() - began < 20
    assert place.dropped() == {"NOTE001.TXT": "a", "NOTE002.TXT": "b"}


@pytest.mark.parametrize("server", ["sftp", "smb"], indirect=True)
def test_files_half_uploaded_an_hour_ago_are_swept_at_the_start(make_place: MakePlace, line: Proxy) -> None:
    """What a cut left behind under a name of its own; younger ones and those of others stay."""
    place = make_place()
    for name, age in ((".notes-1.0.w", 4000), (".notes-2.0.w", 10), (".other-1.0.w", 4000), (".notes-3.0", 4000)):
        file = place.staging / name
        file.write_text("half")
        at = file.stat().st_mtime - age
        os.utime(file, (at, at))
    place.family.open()
    assert place.staged() == [".notes-2.0.w", ".notes-3.0", ".other-1.0.w"]


class Unlucky:
    """A session that loses the line before, or after, its call of one number; the session after it is a lucky one."""

    def __init__(self, session: Any, luck: Iterator[int], *, after: bool) -> None:
        self._session = session
        self._luck = luck
        self._after = after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._session, name)
        return self._unlucky(found) if callable(found) and name != "close" else found

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            setattr(self._session, name, value)

    def _unlucky(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            lost = next(self._luck, 1) == 0
            if lost and not self._after:
                self._lose()
            answer = call(*arguments)
            if lost:
                self._lose()
            return answer

        return called

    def _lose(self) -> None:
        self._session.broken = True
        raise ConnectionError("the line is lost")


@pytest.mark.parametrize("after", [False, True], ids=["request lost", "answer lost"])
def test_a_line_lost_at_any_call_loses_nothing_and_repeats_nothing(
    make_place: MakePlace, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Each call to the server in turn loses its request or its answer, and the reader comes in between.

    Only the answer to the last rename leaves a doubt, if the reader has the file by then.
    """
    calls, doubts = 0, 0
    place = make_place(Refusing)
    target = place.family._target
    assert isinstance(target, RemoteTarget)
    connect = target._pool._connect
    while True:
        calls += 1
        place.family.close()
        luck = iter(range(calls - 1, -1, -1))
        sessions = chain([Unlucky(connect(), luck, after=after)], iter(connect, None))
        monkeypatch.setattr(target._pool, "_connect", lambda: next(sessions))  # noqa: B023  # used within this turn
        event = (str(calls), f"text {calls}")
        [outcome] = place.apply(event)
        taken = Counter(place.dropped().values())
        for file in place.drop.iterdir():
            file.unlink()
        if not isinstance(outcome, Applied):
            assert isinstance(error_of(outcome), BackendUnavailable), f"call {calls}: {error_of(outcome)}"
            [outcome] = place.apply(event)
        taken += Counter(place.dropped().values())
        for file in place.drop.iterdir():
            file.unlink()
        if not isinstance(outcome, Applied):
            assert isinstance(error_of(outcome), InDoubt), f"call {calls}: {error_of(outcome)}"
            doubts += 1
        assert taken == {event[1]: 1}, f"call {calls}"
        assert [name for name in place.staged() if not name.endswith(".w")] == [], f"call {calls}"
        if next(luck, None) is not None:  # it was lucky to the end
            break
    assert calls > 5
    assert doubts == after


@pytest.mark.parametrize("server", ["sftp"], indirect=True)
def test_under_random_cuts_every_event_is_dropped_once_or_in_doubt(make_place: MakePlace, line: Proxy) -> None:
    """A line that is cut again and again, and a reader that takes what it sees: none lost, none twice, none torn."""
    place = make_place(Refusing)
    taken: Counter[str] = Counter()
    over = threading.Event()
    cuts = 0

    def read() -> None:
        while not over.wait(0.002):
            take(place.drop, taken)

    def cut() -> None:
        nonlocal cuts
        chance = random.Random(4711)
        while not over.wait(chance.uniform(0.2, 0.6)):
            cuts += bool(line.cut())

    events: dict[str, str] = {}
    outcomes: dict[str, Outcome] = {}
    helpers = [threading.Thread(target=read), threading.Thread(target=cut)]
    for helper in helpers:
        helper.start()
    try:
        while cuts < 10:
            id_ = str(len(events))
            events[id_] = f"note {id_} ".ljust(5000, ".")
            outcomes[id_] = outcome_after_outages(place, (id_, events[id_]), tries=50)
    finally:
        over.set()
        for helper in helpers:
            helper.join()
    take(place.drop, taken)
    for id_, text in events.items():
        doubt = not isinstance(outcomes[id_], Applied)
        assert not doubt or isinstance(error_of(outcomes[id_]), InDoubt), error_of(outcomes[id_])
        assert taken[text] == 1 or (doubt and taken[text] == 0), (id_, taken[text], outcomes[id_])
    assert sum(taken.values()) == sum(taken[text] for text in events.values()), "a part of a file was seen"
    assert [name for name in place.staged() if not name.endswith(".w")] == []


class Asking(Notes):
    """Knows the folder into which the reader puts what it has taken."""

    name = "asking"
    archive = Path()

    @handles(retry=RetryPolicy(immediate=0, delays=(0.1, 0.1)))
    def note(self, event: Event[Note], drop: Drop) -> None:
        """Drop the note."""
        drop.write_text(event.data.text, encoding="ascii")

    @note.verify
    def was_taken(self, event: Event[Note], drop: Drop) -> NotApplied | None:
        """Whether the reader has it."""
        taken = any(file.read_text() == event.data.text for file in self.archive.iterdir())
        return None if taken else NotApplied()


@pytest.mark.parametrize("server", ["sftp"], indirect=True)
@pytest.mark.parametrize("taken", [True, False], ids=["taken", "lost"])
def test_a_verify_that_looks_into_the_archive_settles_the_doubt(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    """What the reader has is not dropped again; what the server has lost is, under the same number."""
    drop, archive = tmp_path / "in", tmp_path / "archive"
    drop.mkdir()
    archive.mkdir()
    monkeypatch.setattr(Asking, "archive", archive)
    move = RemoteFolder.move
    moves = 0

    def vanishing(self: RemoteFolder, name: str, to: RemoteFolder, new_name: str, *, replace: bool) -> None:
        nonlocal moves
        move(self, name, to, new_name, replace=replace)
        moves += new_name.endswith(".TXT")
        if moves == 1:
            (drop / new_name).replace(archive / new_name if taken else tmp_path / "lost")
            raise ConnectionResetError(errno.ECONNRESET, "reset")

    monkeypatch.setattr(RemoteFolder, "move", vanishing)
    event = event_of(Note(text="a"))
    settings = {key: str(value) for key, value in server.settings(drop).items()}
    with AdaptorHarness(Asking, {"files": settings}) as harness:
        harness.publish(event)
        harness.wait_for(event, State.APPLIED, timeout=30)
    found = {file.name: file.read_text() for folder in (drop, archive) for file in folder.iterdir()}
    assert found == {"NOTE001.TXT": "a"}


@pytest.mark.parametrize("server", ["sftp"], indirect=True)
def test_several_workers_drop_side_by_side(server: FileServer, tmp_path: Path) -> None:
    """Each with a session of its own; numbers have no gap."""
    drop = tmp_path / "in"
    drop.mkdir()
    settings = {key: str(value) for key, value in server.settings(drop).items()}
    sections: Sections = {"files": settings, "runner": {"batch_size": 3, "concurrency": 4}}
    with AdaptorHarness(Notes, sections) as harness:
        harness.publish(*(event_of(Note(text=f"note {number}")) for number in range(60)))
        harness.wait_until_settled(timeout=60)
    assert sorted(file.name for file in drop.iterdir()) == [f"NOTE{number:03d}.TXT" for number in range(1, 61)]
    assert {file.read_text() for file in drop.iterdir()} == {f"note {number}" for number in range(60)}


def take(drop: Path, taken: Counter[str]) -> None:
    """The legacy system: takes away what it finds."""
    for file in drop.iterdir():
        taken[file.read_text()] += 1
        file.unlink()
