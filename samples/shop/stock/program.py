"""The stock keeper's own program: makes the database with its articles, and prints what is free and reserved.

python -m samples.shop.stock.program --db FILE [--create]
"""

import argparse
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

SCHEMA = """
CREATE TABLE article (sku VARCHAR(12) PRIMARY KEY, free INTEGER NOT NULL CHECK (free >= 0));
CREATE TABLE reservation (order_id VARCHAR(40) NOT NULL, sku VARCHAR(12) NOT NULL, quantity INTEGER NOT NULL);
"""
ARTICLES = {"TEAPOT": 100, "KETTLE": 50, "SAMOVAR": 1}


def create(database: Path) -> None:
    """Make the database with its first articles. Fails if there is one already."""
    if database.exists():
        raise FileExistsError(f"{database} exists")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany("INSERT INTO article VALUES (?, ?)", ARTICLES.items())


def reservations(database: Path) -> dict[str, list[tuple[str, int]]]:
    """What is reserved: per order its lines of (sku, quantity), as the database holds them now."""
    found: dict[str, list[tuple[str, int]]] = {}
    with closing(sqlite3.connect(database)) as connection:
        for order_id, sku, quantity in connection.execute("SELECT order_id, sku, quantity FROM reservation"):
            found.setdefault(order_id, []).append((sku, quantity))
    return found


def free(database: Path) -> dict[str, int]:
    """What is free, by article."""
    with closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute("SELECT sku, free FROM article"))


def main() -> None:
    """The command line of the program."""
    parser = argparse.ArgumentParser(description="The stock keeper's program.")
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument("--create", action="store_true")
    arguments = parser.parse_args()
    if arguments.create:
        create(arguments.db)
    json.dump({"free": free(arguments.db), "reserved": reservations(arguments.db)}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
