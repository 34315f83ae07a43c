"""How a file of fixed-width records is cut into records: by length, by line ends, by descriptor words, in blocks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from adaptors.files.errors import FormatError
from adaptors.files.formats.record import hexed

Prefix = Literal["rdw", "bdw", "gnucobol"]

_LONGEST_BLOCK = 32_760  # bytes, the limit of IBM access methods; a record in it has 8 bytes fewer


class Framing(ABC):
    """What stands between the records of a file, `name` being what their class is called in errors."""

    name: str

    @abstractmethod
    def join(self, records: Sequence[bytes]) -> bytes:
        """The file of these records. Raises FormatError, with the number from 1, at one that cannot stand in it."""

    @abstractmethod
    def cut(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The byte at which each record starts, and its bytes. Raises FormatError where the next one is not found."""


@dataclass(frozen=True, slots=True)
class Lengths(Framing):
    """Records that end where their fields do, each with the same bytes behind it, or with none.

    `end_of` tells where a record that starts at a byte of the file ends; None stands for the fixed `length`. With
    `blocking` the file is filled up to a whole number of blocks of so many records, with records of one byte, `fill`.
    """

    name: str
    length: int
    line_end: bytes
    end_of: Callable[[bytes, int], int] | None = None
    blocking: int = 1
    fill: bytes = b""

    def join(self, records: Sequence[bytes]) -> bytes:
        filler = self.fill * self.length
        if self.blocking > 1 and records and records[-1] == filler:
            raise FormatError(f"{self.name} record {len(records)} is {hexed(filler)}, which only fills up a block")
        filled = [*records, *[filler] * (-len(records) % self.blocking)]
        return self.line_end.join([*filled, b""])

    def cut(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        start, stop = 0, self._stop(data)
        while start < stop:
            end = start + self.length if self.end_of is None else self.end_of(data, start)
            record, after = data[start:end], data[end : end + len(self.line_end)]
            if end > len(data):
                raise FormatError(
                    f"{self.name}: the file ends within the record at byte {start}, "
                    f"after {len(record)} of {self.length} bytes: {hexed(record)}"
                )
            # The last record may lack its line end: many programs leave it out, and the record itself is whole.
            if after != self.line_end and end < len(data):
                raise FormatError(
                    f"{self.name}: after the record at byte {start} stands 0x{after.hex()} in place of the line end "
                    f"0x{self.line_end.hex()}; the record is not {end - start} bytes long"
                )
            yield start, record
            start = end + len(self.line_end)

    def _stop(self, data: bytes) -> int:
        """Where the last record ends that is not there to fill up a block."""
        if self.blocking == 1 or not data:
            return len(data)
        step = self.length + len(self.line_end)
        if len(data) % (step * self.blocking):
            raise FormatError(
                f"{self.name}: the file has {len(data)} bytes, which is no whole number of blocks of "
                f"{self.blocking} records of {step} bytes"
            )
        filler, stop = self.fill * self.length + self.line_end, len(data)
        for _ in range(self.blocking - 1):
            stop -= step * (data[stop - step : stop] == filler)
        return stop


@dataclass(frozen=True, slots=True)
class ShortLines(Framing):
    """Lines without the spaces at their end, as LINE SEQUENTIAL files have them."""

    name: str
    length: int
    line_end: bytes
    space: bytes

    def join(self, records: Sequence[bytes]) -> bytes:
        for number, record in enumerate(records, 1):
            if self.line_end in record:
                raise FormatError(f"{self.name} record {number} holds a line end: {hexed(record)}")
        return self.line_end.join([*(record.rstrip(self.space) for record in records), b""])

    def cut(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        start = 0
        for line in data.removesuffix(self.line_end).split(self.line_end) if data else ():
            if len(line) > self.length:
                raise FormatError(
                    f"{self.name}: the line at byte {start} is {len(line)} bytes long and a record has {self.length}"
                )
            yield start, line
            start += len(line) + len(self.line_end)


@dataclass(frozen=True, slots=True)
class Described(Framing):
    """Records with their length in front: a record descriptor word (IBM: the length includes it), or GnuCOBOL's."""

    name: str
    includes_itself: bool

    def join(self, records: Sequence[bytes]) -> bytes:
        return b"".join([self.described(number, record) for number, record in enumerate(records, 1)])

    def described(self, number: int, record: bytes) -> bytes:
        """One record with its descriptor word. Raises FormatError if it is longer than that can say."""
        if len(record) > _LONGEST_BLOCK - 8:
            raise FormatError(
                f"{self.name} record {number} is {len(record)} bytes long; the most is {_LONGEST_BLOCK - 8}"
            )
        return (len(record) + 4 * self.includes_itself).to_bytes(2, "big") + b"\0\0" + record

    def cut(self, data: bytes, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        stop = len(data) if stop is None else stop
        while start < stop:
            word = data[start : start + 4]
            end = start + int.from_bytes(word[:2], "big") + 4 * (not self.includes_itself)
            if len(word) < 4 or word[2:] != b"\0\0" or end < start + 4:
                spanned = " (a spanned record, which is not read)" if len(word) == 4 and word[2] in (1, 2, 3) else ""
                raise FormatError(f"{self.name}: {hexed(word)} at byte {start} is no record descriptor word{spanned}")
            if end > stop:
                raise FormatError(
                    f"{self.name}: the record at byte {start} has {end - start} bytes after its descriptor word "
                    f"{hexed(word)}, and there are {stop - start}"
                )
            yield start + 4, data[start + 4 : end]
            start = end


@dataclass(frozen=True, slots=True)
class Blocks(Framing):
    """Records with descriptor words, gathered in blocks of at most `size` bytes, each with a block descriptor word."""

    name: str
    size: int
    records: Described

    def join(self, records: Sequence[bytes]) -> bytes:
        blocks: list[bytes] = []
        block, room = list[bytes](), self.size - 4
        for number, record in enumerate(records, 1):
            described = self.records.described(number, record)
            if len(described) > self.size - 4:
                raise FormatError(
                    f"{self.name} record {number} is {len(record)} bytes long, and a block of {self.size} bytes has "
                    f"room for {self.size - 8}"
                )
            if len(described) > room:
                blocks.append(_block(block))
                block, room = [], self.size - 4
            block.append(described)
            room -= len(described)
        return b"".join([*blocks, _block(block)] if block else blocks)

    def cut(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        start = 0
        while start < len(data):
            word = data[start : start + 4]
            end = start + int.from_bytes(word[:2], "big")
            if len(word) < 4 or word[2:] != b"\0\0" or not start + 4 <= end <= len(data):
                raise FormatError(
                    f"{self.name}: {hexed(word)} at byte {start} is no block descriptor word, or the file ends within "
                    'the block; a file that was sent with record descriptor words only is prefix="rdw"'
                )
            yield from self.records.cut(data, start + 4, end)
            start = end


def _block(described: list[bytes]) -> bytes:
    body = b"".join(described)
    return (len(body) + 4).to_bytes(2, "big") + b"\0\0" + body
