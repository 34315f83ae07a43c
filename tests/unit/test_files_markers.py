"""Markers: what they may be called, what stands in them, and in which order they follow their file."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk import ConfigError
from adaptors.files import FormatError, Marker
from adaptors.files.markers import FileContent, Markers


def markers(*of: Marker) -> Markers:
    """Markers beside files without a special form."""
    return Markers(of, "any", "X.DAT")


@pytest.mark.parametrize(
    ("template", "expected"), [("{stem}.OK", "PICK1.OK"), ("{name}.done", "PICK1.DAT.done"), ("T{stem}", "TPICK1")]
)
def test_a_marker_is_named_after_its_file(template: str, expected: str) -> None:
    """`name` is the file's name, `stem` the same without its last suffix."""
    assert markers(Marker(template)).names_of("PICK1.DAT") == ("PICK1.DAT", expected)


def test_markers_come_before_or_after_their_file() -> None:
    """Those that say so come first, the others last, each in the order in which they were declared."""
    several = markers(Marker("{name}.md5"), Marker("{stem}.CTL", before=True), Marker("{stem}.OK"))
    assert several.names_of("A.DAT") == ("A.CTL", "A.DAT", "A.DAT.md5", "A.OK")
    assert several.contents_of(FileContent(b"data"), "A.DAT") == (b"", b"data", b"", b"")


def test_a_marker_tells_size_records_and_checksums() -> None:
    """Each in the format that it is given; the known test vectors of the algorithms for 123456789."""
    content = "{stem};{size:08d};{records};{crc32};{md5};{sha1};{sha256}\r\n"
    [_, written] = markers(Marker("{stem}.TRG", content)).contents_of(FileContent(b"123456789", 3), "A.DAT")
    assert written.decode("ascii") == (
        "A;00000009;3;cbf43926;25f9e794323b453885f5181f1b624d0b;f7c3bc1d808e04732adf679965ccc34ca7ae3441;"
        "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225\r\n"
    )


def test_a_checksum_file_is_one_that_sha256sum_takes(tmp_path: Path) -> None:
    """The program of every Linux checks a file by the sidecar that lies beside it."""
    sidecar = markers(Marker("{name}.sha256", "{sha256}  {name}\n"))
    for name, data in zip(sidecar.names_of("A.DAT"), sidecar.contents_of(FileContent(b"data"), "A.DAT"), strict=True):
        (tmp_path / name).write_bytes(data)
    check = ["sha256sum", "--check", "--strict", "A.DAT.sha256"]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=True).stdout == b"A.DAT: OK\n"
    assert hashlib.sha256(b"data").hexdigest() in (tmp_path / "A.DAT.sha256").read_text()


@pytest.mark.parametrize(
    ("marker", "reason"),
    [
        (Marker("done"), "give a template with {name} or {stem}"),
        (Marker("{id}.OK"), "give a template with {name} or {stem}"),
        (Marker("{name}"), "another name than its file"),
        (Marker("x/{name}"), "another name than its file"),
        (Marker("{name"), "expected '}'"),
        (Marker("{stem}.OK", "{lines}"), "its content has no lines; known: name, stem, size, records, sha256"),
        (Marker("{stem}.OK", "{size:%Y}"), "its content cannot be written"),
        (Marker("{stem}.OK", "Größe"), "its content cannot be written"),
        (Marker("{stem}.OK", "x", encoding="ebcdic"), "its content cannot be written: unknown encoding"),
        (Marker("{stem}.DAT"), "would have the name of its file"),
    ],
)
def test_a_marker_that_cannot_work_is_refused_when_it_is_made(marker: Marker, reason: str) -> None:
    """All files would share it, it would be the file itself, or nothing could be written into it."""
    with pytest.raises(ConfigError) as caught:
        markers(marker)
    assert reason in str(caught.value)


def test_markers_have_names_of_the_form_of_their_file() -> None:
    """A DOS reader that cannot see a long name would wait for its marker for ever."""
    with pytest.raises(ConfigError, match=r"not of the form 8\.3"):
        Markers([Marker("{name}.done")], "8.3", "PICK0001.DAT")
    assert Markers([Marker("{stem}.ok")], "8.3", "A.DAT").names_of("PICK1.DAT") == ("PICK1.DAT", "PICK1.OK")


@pytest.mark.parametrize(
    ("marker", "content", "name", "reason"),
    [
        (Marker("{stem}.OK"), FileContent(b""), "A.OK", "would have the name of its file 'A.OK'"),
        (Marker("{stem}.OK", "{records}"), FileContent(b"x"), "A.DAT", "needs the number of records"),
        (Marker("{stem}.OK", "{name}"), FileContent(b""), "Ä.DAT", "cannot be written in ascii"),
    ],
)
def test_a_file_whose_marker_cannot_be_made_is_refused(
    marker: Marker, content: FileContent, name: str, reason: str
) -> None:
    """Nothing is dropped that its reader would not find complete."""

    def make(made: Markers) -> Any:
        return made.names_of(name), made.contents_of(content, name)

    with pytest.raises(FormatError, match=reason):
        make(markers(marker))


@pytest.mark.parametrize(("content", "needed"), [("{sha256}", False), ("{size} {stem}", True), ("", False)])
def test_whether_a_marker_needs_the_name_of_its_file_is_known(content: str, needed: bool) -> None:
    """Then the number in that name has to be taken before anything is staged."""
    assert markers(Marker("{stem}.OK", content)).need_name is needed
