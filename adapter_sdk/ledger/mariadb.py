"""The ledger's SQL as MariaDB says it."""

# Keys and states are told apart by their bytes, whatever the database's own collation makes equal.
_TABLE_OPTIONS = " ENGINE InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"


def spoken(statement: str) -> str:
    """A statement of `schema` or of the store. An index covers all rows, because it cannot be narrowed by a WHERE."""
    if statement.startswith("CREATE TABLE"):
        return statement + _TABLE_OPTIONS
    if statement.startswith("ALTER TABLE"):
        # Each such statement commits by itself: an install that was interrupted is begun anew, and finds it done.
        return statement.replace(" ADD COLUMN ", " ADD COLUMN IF NOT EXISTS ")
    if statement.startswith("CREATE INDEX"):
        return statement.partition(" WHERE ")[0]
    if statement.endswith(" ON CONFLICT DO NOTHING"):
        # IGNORE would also cut what is too long; everything in a row has been fitted before.
        return statement.removesuffix(" ON CONFLICT DO NOTHING").replace("INSERT INTO", "INSERT IGNORE INTO", 1)
    return statement
