"""What a handler's statement takes of the memory of its process, on a real SQLite."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from adaptors.sql.connection import make_engine

_ROWS = 30_000
_BYTES_OF_A_ROW = 1000


def test_a_statement_over_a_large_table_takes_little_memory(tmp_path: Path) -> None:
    """What SQLite needs to undo it goes through a file: a bulk UPDATE takes a part of the table's size."""
    command = [sys.executable, "-m", __name__, str(tmp_path / "shop.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < _ROWS * _BYTES_OF_A_ROW / 2


def peak() -> int:
    """The most bytes of memory that this program has held so far, its parent's left out."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main(path: str) -> None:
    """Write by how many bytes a bulk UPDATE raises the peak."""
    rows = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {_ROWS})"
    engine = make_engine(f"sqlite:///{path}")
    with closing(engine.raw_connection()) as raw:
        raw.cursor().execute("PRAGMA journal_mode = WAL")
    with engine.begin() as db:
        db.execute(text("CREATE TABLE stock (id INTEGER PRIMARY KEY, pieces INTEGER NOT NULL, note BLOB)"))
        db.execute(text(f"INSERT INTO stock {rows} SELECT i, i, zeroblob({_BYTES_OF_A_ROW}) FROM n"))
    with engine.begin() as db:
        before = peak()
        db.execute(text("UPDATE stock SET pieces = pieces + 1"))
        sys.stdout.write(f"{peak() - before}\n")


if __name__ == "__main__":
    main(sys.argv[1])
