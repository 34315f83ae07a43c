"""What a database error means for the event: grouped by SQLSTATE, or by the database's own number or name for it."""

import re
from collections.abc import Mapping

from sqlalchemy import exc

from adapter_sdk.errors import AdaptorError, BackendUnavailable, PermanentError, Refused, TransientError

# SQLSTATE classes of ISO 9075 and appendix A of the PostgreSQL manual.
_GONE = ("08", "57P", "53")
"""Connection exceptions, operator intervention (shutdown), insufficient resources."""
_LATER = ("40", "55", "23503")
"""Deadlock and serialisation, object in use, and a foreign key whose row another event may yet bring."""
_DISK = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN")
"""The disk under SQLite is full, or closed to us."""
_REFUSED = ("22", "23", "44", "45", "P0001")
"""Data exceptions, integrity violations, WITH CHECK OPTION, and what a procedure raises on purpose."""
_CODE = re.compile(r"[A-Z0-9]{5}|SQLITE_\w+")
_MARIADB: Mapping[object, str] = {
    1040: "53", 1041: "53", 1203: "53", 1053: "57P", 1927: "57P",
    1205: "55", 1213: "40", 1452: "23503",
    1022: "23", 1048: "23", 1062: "23", 1451: "23", 1557: "23", 1569: "23", 1586: "23", 1859: "23", 3819: "23",
    4025: "23", 1264: "22", 1265: "22", 1292: "22", 1365: "22", 1366: "22", 1367: "22", 1406: "22", 1411: "22",
    1690: "22", 1369: "44", 1644: "P0001",
}  # fmt: skip
"""The numbers of MariaDB and MySQL, which say more than their SQLSTATE, as codes of PostgreSQL that mean the same."""


def translate(error: exc.SQLAlchemyError) -> AdaptorError:
    """The error of the tree in adapter_sdk.errors for an SQLAlchemy error. What is not known is transient."""
    if isinstance(error, exc.DBAPIError):
        text = _sentence(error)
        if error.connection_invalidated or isinstance(error, exc.InterfaceError):
            return BackendUnavailable(text)
        code = _code(error)
        if code.startswith((*_GONE, *_DISK)) or (not code and isinstance(error, exc.OperationalError)):
            return BackendUnavailable(text)
        if code.startswith(_LATER) or code in ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CONSTRAINT_FOREIGNKEY"):
            return TransientError(text)
        if code == "SQLITE_AUTH":
            return PermanentError(f"a handler does not end the transaction: return or raise ({text})")
        # Without a code, what DB-API says: also a driver that sees for itself that a value cannot be sent.
        refused = code.startswith((*_REFUSED, "SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_TOOBIG"))
        if refused or (not code and isinstance(error, exc.DataError | exc.IntegrityError)):
            return Refused(text)
        return TransientError(text)
    if isinstance(error, exc.TimeoutError):
        return BackendUnavailable(f"no free connection: {error}")
    return TransientError(f"{type(error).__name__}: {error}")


def passes_at_once(error: exc.SQLAlchemyError) -> bool:
    """Whether the same transaction may succeed if it is begun anew: after a deadlock, a conflict, a dead connection."""
    return isinstance(error, exc.DBAPIError) and (error.connection_invalidated or _code(error).startswith("40"))


def _code(error: exc.DBAPIError) -> str:
    cause = error.orig
    first = cause.args[0] if cause is not None and cause.args else None
    if code := _MARIADB.get(first):
        return code
    names = ("sqlstate", "pgcode", "sqlite_errorname")
    # pyodbc gives the SQLSTATE first; a number that is not known is at least no sign of an outage.
    found = next((code for name in names if (code := getattr(cause, name, None))), first)
    if isinstance(found, int):
        return f"number {found}"
    return found if isinstance(found, str) and _CODE.fullmatch(found) else ""


def _sentence(error: exc.DBAPIError) -> str:
    """What the database said, with the statement but without its parameters, which are the event's data."""
    statement = f" [{' '.join(error.statement.split())[:300]}]" if error.statement else ""
    first_line = str(error.orig).strip().partition("\n")[0]
    return f"{type(error.orig).__name__}: {first_line}{statement}"
