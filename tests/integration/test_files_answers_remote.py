"""Answer files on every kind of server: taken by the same code, with the habits of each."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapter_sdk.testing import AdaptorHarness
from adaptors.files.answers.faults import Fault
from adaptors.files.targets.remote import RemoteFolder
from tests.answer_files import Marked, Picked, Site, Warehouse, confirmations, order, running, wait
from tests.file_servers import HABITS, SERVERS, FileServer
from tests.services.run import Run

BLIND = "ftp without MLST and SIZE"


@pytest.fixture(scope="module", params=SERVERS | HABITS)
def server(request: pytest.FixtureRequest, service_run: Run) -> Iterator[FileServer]:
    """One kind of server."""
    with (SERVERS | HABITS)[request.param](service_run) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Folders that the server serves."""
    return Site(tmp_path)


@pytest.fixture
def where(server: FileServer, site: Site) -> dict[str, Any]:
    """The settings that lead there."""
    settings = {key: str(value) for key, value in server.settings(site.drop).items()}
    return {**settings, "answers": server.path(site.answers)}


def completed(harness: AdaptorHarness, count: int) -> list[Picked]:
    """The replies of so many orders, by their number."""
    return sorted((reply.data for reply in harness.replies(count, timeout=30)), key=lambda data: data.order_id)


def test_markers_bad_records_and_taken_names_are_met_as_on_this_host(site: Site, where: dict[str, Any]) -> None:
    """A whole file is taken once, its markers with it; a name that is taken in done/ is not overwritten."""
    (site.answers / "done").mkdir()
    (site.answers / "done" / "CONF1.DAT").write_text("of last year")
    with running(Marked, site, where) as harness:
        order(harness, "1", "2")
        site.deliver("CONF1.CTL", b"18")
        site.deliver("CONF1.DAT", data := confirmations(("1", 1), ("2", 2)))
        site.deliver("CONF1.DAT.md5", b"0" * 32)
        wait(lambda: len(site.error()) == 4, "the file was not set aside")
        for name in ("CONF1.CTL", "CONF1.DAT", "CONF1.DAT.md5"):
            (site.answers / "error" / name).unlink()
        site.deliver("CONF1.CTL", b"18")
        site.deliver("CONF1.DAT", data)
        site.deliver("CONF1.DAT.md5", hashlib.md5(data, usedforsecurity=False).hexdigest().encode())
        assert completed(harness, 2) == [Picked(order_id="1", quantity=1), Picked(order_id="2", quantity=2)]
        wait(lambda: not site.waiting(), "the files were not taken away")
    assert site.done() == ["CONF1-2.CTL", "CONF1-2.DAT", "CONF1-2.DAT.md5", "CONF1.DAT"]
    assert (site.answers / "done" / "CONF1-2.DAT").read_bytes() == data


@pytest.mark.parametrize("server", [kind for kind in SERVERS | HABITS if kind != BLIND], indirect=True)
def test_without_a_marker_a_file_rests_before_it_is_read(site: Site, where: dict[str, Any], server: FileServer) -> None:
    """What grows is not taken; a bad record lies in a file of its own."""
    with running(Warehouse, site, where, bad_records="record") as harness:
        order(harness, "1", "2")
        with (site.answers / "CONF1.DAT").open("wb", buffering=0) as file:
            for part in (confirmations(("1", 1)), b"\xc1" * 9, confirmations(("2", 2))):
                file.write(part)
        assert completed(harness, 2) == [Picked(order_id="1", quantity=1), Picked(order_id="2", quantity=2)]
        wait(lambda: not site.waiting(), "the file was not taken away")
    assert site.done() == ["CONF1.DAT"]
    assert site.error() == ["CONF1-record2.DAT", "CONF1.DAT.report.jsonl"]
    [fault] = Fault.decode_all((site.answers / "error" / "CONF1.DAT.report.jsonl").read_bytes())
    assert f"put it back into {server.scheme}://" in fault.action


@pytest.mark.parametrize("server", [BLIND], indirect=True)
def test_a_server_that_tells_no_sizes_is_said_to_need_markers(site: Site, where: dict[str, Any]) -> None:
    """Since whether a file grows cannot be seen there, it is left alone."""
    site.deliver("CONF1.DAT", confirmations(("1", 1)))
    with capture_logs() as lines, running(Warehouse, site, where):
        wait(lambda: [line for line in lines if "only a marker" in line.get("error", "")], "it was not said")
    assert site.waiting() == ["CONF1.DAT"]


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_a_lost_line_is_said_once_and_what_it_left_is_finished(
    site: Site, where: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever rename of a file and its markers is the one whose answer is lost: nothing is repeated, all is moved."""
    move, lost = RemoteFolder.move, {"CONF1.DAT", "CONF1.CTL", ".CONF1.DAT.taken"}

    def cut(self: RemoteFolder, name: str, to: RemoteFolder, new_name: str, *, replace: bool) -> None:
        move(self, name, to, new_name, replace=replace)
        if name in lost:
            lost.remove(name)
            self._session.broken = True
            raise ConnectionError("cut")

    with running(Marked, site, where) as harness, capture_logs() as lines:
        order(harness, "1")
        monkeypatch.setattr(RemoteFolder, "move", cut)
        site.deliver("CONF1.CTL", b"9")
        site.deliver("CONF1.DAT", data := confirmations(("1", 1)))
        site.deliver("CONF1.DAT.md5", hashlib.md5(data, usedforsecurity=False).hexdigest().encode())
        assert completed(harness, 1) == [Picked(order_id="1", quantity=1)]
        wait(lambda: not any(path.is_file() for path in site.answers.iterdir()), "the files were not taken away")
    assert lost == set()
    assert site.done() == ["CONF1.CTL", "CONF1.DAT", "CONF1.DAT.md5"]
    assert {line["error"] for line in lines if line["event"] == "answers not looked for"} == {
        f"looking for answers in {where['answers']}: cut"
    }
