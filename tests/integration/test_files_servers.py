"""File servers that refuse, vanish or fall silent: what is said, what is tried again, and nothing is dropped twice."""

import os
import random
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk import BackendUnavailable, ConfigError, InDoubt
from adapter_sdk.family import Applied, Outcome
from adaptors.files.settings import FileSettings
from adaptors.files.targets import pool
from adaptors.files.targets.remote import RemoteTarget
from tests.file_drops import MakePlace, Notes, Place, Refusing, error_of, places
from tests.file_servers import SERVERS, FileServer, on_sftp_that_overwrites
from tests.services.run import Run
from tests.torture.proxy import Proxy


@pytest.fixture(scope="module")
def servers(service_run: Run) -> Iterator[dict[str, FileServer]]:
    """One of each kind, started when it is asked for."""
    started: dict[str, FileServer] = _Started(service_run)
    yield started
    assert isinstance(started, _Started)
    started.end()


class _Started(dict[str, FileServer]):
    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._open: list[Any] = []

    def __missing__(self, kind: str) -> FileServer:
        context = (SERVERS | {"password": on_sftp_that_overwrites})[kind](self._run)
        self[kind] = context.__enter__()
        self._open.append(context)
        return self[kind]

    def end(self) -> None:
        for context in self._open:
            context.__exit__(None, None, None)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, servers: dict[str, FileServer]) -> FileServer:
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


def refusal(settings: dict[str, Any]) -> str:
    """What keeps an adaptor from starting with these settings."""
    family = Notes._family(FileSettings.model_validate(settings))
    with pytest.raises(ConfigError) as caught:
        family.open()
    family.close()
    said = str(caught.value)
    assert "correct horse" not in said
    return said


# --- logins ---


def test_an_unknown_host_key_is_refused_and_the_remedy_named(servers: dict[str, FileServer], tmp_path: Path) -> None:
    """Also by `adaptor check`, which connects nowhere; nobody is trusted at first sight."""
    server = servers["sftp"]
    empty = tmp_path / "known_hosts"
    empty.touch()
    settings = server.settings(tmp_path) | {"known_hosts": empty}
    remedy = f"append what `ssh-keyscan -p {server.port} 127.0.0.1` says once its owner has confirmed the fingerprint"
    assert remedy in refusal(settings)
    [fault] = Notes._family(FileSettings.model_validate(settings)).check()
    assert remedy in fault


def test_another_host_key_than_the_known_one_is_refused(servers: dict[str, FileServer], tmp_path: Path) -> None:
    """Somebody may be listening in between: nothing is sent, not even the login."""
    server = servers["sftp"]
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {other.with_suffix('.pub').read_text()}")
    said = refusal(server.settings(tmp_path) | {"known_hosts": known})
    assert "has another host key than" in said
    assert "send nothing there" in said


def test_a_key_that_is_not_allowed_is_refused(servers: dict[str, FileServer], tmp_path: Path) -> None:
    """The process ends and says what to look at, since no waiting helps."""
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    said = refusal(servers["sftp"].settings(tmp_path) | {"key_file": other})
    assert "refuses the login: check [files] user, password and key_file" in said


def test_an_encrypted_key_is_opened_by_its_password(servers: dict[str, FileServer], tmp_path: Path) -> None:
    """Without one, the setting is named that is missing; with a wrong one, the file."""
    server = servers["sftp"]
    locked = tmp_path / "locked"
    locked.write_bytes(server.login["key_file"].read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "sesame", "-f", str(locked)], check=True)
    drop = tmp_path / "in"
    drop.mkdir()
    settings = server.settings(drop) | {"key_file": locked}
    for wrong in ({}, {"key_password": "wrong"}):
        assert f"key_file: {locked} cannot be read; if it is encrypted" in refusal(settings | wrong)
    family = Notes._family(FileSettings.model_validate(settings | {"key_password": "sesame"}))
    family.open()
    family.close()


@pytest.mark.parametrize("kind", ["password", "ftp", "ftps", "smb"])
def test_a_wrong_password_is_refused_and_not_shown(servers: dict[str, FileServer], kind: str, tmp_path: Path) -> None:
    """Where a login is by password."""
    said = refusal(servers[kind].settings(tmp_path) | {"password": "wrong horse"})
    assert "refuses the login" in said
    assert "wrong horse" not in said


def test_a_certificate_of_an_unknown_authority_is_refused(servers: dict[str, FileServer], tmp_path: Path) -> None:
    """The error names the setting that would trust it."""
    said = refusal(servers["ftps"].settings(tmp_path) | {"ca_file": None})
    assert "shows a certificate that cannot be trusted" in said
    assert "[files] ca_file" in said


def test_a_share_that_is_not_there_is_named(servers: dict[str, FileServer], tmp_path: Path) -> None:
    """No waiting makes one."""
    server = servers["smb"]
    drop = f"smb://{server.user}@127.0.0.1:{server.port}/nope/in"
    assert "has no share of that name" in refusal({**server.settings(tmp_path), "drop": drop})


def test_what_is_missing_here_is_seen_without_connecting(tmp_path: Path) -> None:
    """Key files, known hosts and CA files that are not there, a URL without a share, one without room for staging."""

    def faults(**settings: Any) -> list[str]:
        return Notes._family(FileSettings.model_validate(settings)).check()

    none = tmp_path / "none"
    assert faults(drop="sftp://me@h/in", key_file=none, known_hosts=none) == [
        f"[files] key_file: {none} is missing, or this user may not read it",
        f"[files] known_hosts: {none} is missing, or this user may not read it",
    ]
    assert faults(drop="ftps://h/in", ca_file=none) == [
        f"[files] ca_file: {none} is missing, or this user may not read it"
    ]
    assert faults(drop="smb://me@h/", password="x", staging="/s") == [
        "[files] drop: smb://me@h/ names no share: smb://user@host/share/folder"
    ]
    assert "has no folder above it" in faults(drop="ftp://h/")[0]


# --- lines ---


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
    thread.join(5)


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


def test_a_server_that_is_not_there_is_an_outage(server: FileServer, tmp_path: Path) -> None:
    """The connection is refused: nothing of the event has left."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    family = Notes._family(FileSettings.model_validate(server.settings(tmp_path, port)))
    with pytest.raises(BackendUnavailable):
        family.probe()


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
    assert time.monotonic() - began < 8
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
    assert calls > 6
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

    events = {str(number): f"note {number} ".ljust(5000, ".") for number in range(100)}
    helpers = [threading.Thread(target=read), threading.Thread(target=cut)]
    for helper in helpers:
        helper.start()
    try:
        outcomes = {id_: outcome_after_outages(place, (id_, text), tries=50) for id_, text in events.items()}
    finally:
        over.set()
        for helper in helpers:
            helper.join()
    take(place.drop, taken)
    assert cuts > 3
    for id_, text in events.items():
        doubt = not isinstance(outcomes[id_], Applied)
        assert not doubt or isinstance(error_of(outcomes[id_]), InDoubt), error_of(outcomes[id_])
        assert taken[text] == 1 or (doubt and taken[text] == 0), (id_, taken[text], outcomes[id_])
    assert sum(taken.values()) == sum(taken[text] for text in events.values()), "a part of a file was seen"
    assert [name for name in place.staged() if not name.endswith(".w")] == []


def take(drop: Path, taken: Counter[str]) -> None:
    """The legacy system: takes away what it finds."""
    for file in drop.iterdir():
        taken[file.read_text()] += 1
        file.unlink()
