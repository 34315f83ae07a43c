"""A drop with folders, ledger and family, worked as the pipeline does: for the tests of the files family."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter_sdk import Event, EventData, handles
from adapter_sdk.family import Applied, Claim, Failed, Outcome
from adapter_sdk.ledger.base import ClaimRequest, Record, Reply, State, Verdict
from adapter_sdk.ledger.sqlite import SqliteDatabase
from adapter_sdk.ledger.store import SqlLedger
from adaptors.files import Drop, FileDropAdaptor, Marker
from adaptors.files.family import FileDropFamily
from adaptors.files.settings import FileSettings

_OURS = ("staging.id", ".staging.id")


class Note(EventData, type="com.shop.note"):
    text: str


class Notes(FileDropAdaptor):
    """Drops the text of each note; a note without text needs no file."""

    name = "notes"
    file_name = "NOTE{sequence:03d}.TXT"

    @handles
    def note(self, event: Event[Note], drop: Drop) -> None:
        """Refuses nothing by itself."""
        if event.data.text == "bug":
            raise RuntimeError("a bug")
        if event.data.text:
            drop.write_text(event.data.text, encoding="ascii")


class Refusing(Notes):
    name = "refusing"
    file_name = "{id}.TXT"


class Same(Refusing):
    name = "same"
    exists = "same"


class Replacing(Refusing):
    name = "replacing"
    exists = "replace"


class Marked(Refusing):
    name = "marked"
    marker = "{stem}.OK"


class Controlled(Notes):
    """Markers around each file that cannot be written before its number is known."""

    name = "controlled"
    marker = (Marker("{stem}.CTL", "{name} {size}", before=True), Marker("{name}.crc", "{crc32}"))


class Numbered(Notes):
    """Writes the number of each file into it."""

    name = "numbered"

    @handles
    def note(self, event: Event[Note], drop: Drop) -> None:
        """Fails after the number is taken, if the text says so."""
        content = f"{drop.number}: {event.data.text}"
        if event.data.text == "bug":
            raise RuntimeError("a bug")
        drop.write_text(content, encoding="ascii")


@dataclass
class Place:
    """A drop, its staging, a ledger, and the family of one adaptor before them."""

    drop: Path
    staging: Path
    ledger: SqlLedger
    family: FileDropFamily
    adaptor: type[FileDropAdaptor]
    now: float = 0.0

    def claim(self, *events: tuple[str, str]) -> list[Claim]:
        """Claim events of these ids and texts, as the pipeline does."""
        requests = [
            ClaimRequest(key=_event(id_, text).key, digest="0" * 64, type="com.shop.note") for id_, text in events
        ]
        claims = []
        self.now += 1.0
        for (id_, text), (verdict, entry) in zip(events, self.ledger.claim(requests, self.now), strict=True):
            assert verdict is Verdict.GRANTED
            claims.append(
                Claim(
                    event=_event(id_, text),
                    handler=self.adaptor._handlers["com.shop.note"],
                    token=entry.token,
                    again=entry.received_at != self.now,
                    evidence=entry.evidence,
                    replies=entry.replies,
                    in_doubt=entry.state in (State.CALLING, State.IN_DOUBT),
                    seal=lambda data: tuple(Reply("r", "t", b"") for _ in data),
                )
            )
        return claims

    def apply(self, *events: tuple[str, str]) -> list[Outcome]:
        """Claim, apply, and record the end of what was applied."""
        claims = self.claim(*events)
        outcomes = self.family.apply(claims, self.ledger)
        done = [
            Record(key=claim.key, token=claim.token, state=State.APPLIED)
            for claim, outcome in zip(claims, outcomes, strict=True)
            if isinstance(outcome, Applied)
        ]
        assert all(self.ledger.record(done, 0.0))
        return outcomes

    def dropped(self) -> dict[str, str]:
        """What the backend would find, by name."""
        return {file.name: file.read_text() for file in sorted(self.drop.iterdir())}

    def staged(self) -> list[str]:
        """What lies in staging."""
        return sorted(file.name for file in self.staging.iterdir() if file.name not in _OURS)

    def evidence(self, id_: str) -> dict[str, Any]:
        """What the ledger keeps of an event's file."""
        entry = self.ledger.get(_event(id_, "").key)
        assert entry is not None
        return dict(entry.evidence or {})


MakePlace = Callable[..., Place]


@contextmanager
def places(folder: Path, where: Callable[[Path], dict[str, Any]]) -> Iterator[MakePlace]:
    """Makes places for adaptor classes over one drop; `where` gives the settings that lead to its path."""
    made: list[Place] = []

    def make(adaptor: type[FileDropAdaptor] = Notes, **settings: Any) -> Place:
        drop = folder / "in"
        drop.mkdir(exist_ok=True)
        ledger = SqlLedger(SqliteDatabase(folder / f"{adaptor.name}.ledger"), adaptor.name)
        ledger.open()
        chosen = FileSettings.model_validate({**where(drop), **settings})
        family = adaptor._family(chosen)
        family.bind(adaptor())
        made.append(Place(drop, chosen.staging or folder / ".in.staging", ledger, family, adaptor))
        family.open()
        return made[-1]

    yield make
    for place in made:
        place.family.close()
        place.ledger.close()


def error_of(outcome: Outcome) -> Exception:
    """The error of a failed outcome."""
    assert isinstance(outcome, Failed)
    return outcome.error


def _event(id_: str, text: str) -> Event[Note]:
    return Event(source="shop", id=id_, type="com.shop.note", data=Note(text=text))
