import pytest
from sqlalchemy import exc

from adapter_sdk import BackendUnavailable, Refused, TransientError
from adaptors.sql.failures import passes_at_once, translate


class Reported(Exception):
    """A driver's error with the attributes that such a driver gives it."""

    def __init__(self, *args: object, **attributes: object) -> None:
        super().__init__(*args)
        for name, value in attributes.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("error", "kind", "at_once"),
    [
        (Reported("deadlock", sqlstate="40P01"), TransientError, True),
        (Reported("serialization", pgcode="40001"), TransientError, True),
        (Reported(1213, "Deadlock found", sqlstate="40001"), TransientError, True),
        (Reported("40001", "[SQL Server] deadlock"), TransientError, True),
        (Reported(1205, "Lock wait timeout", sqlstate="HY000"), TransientError, False),
        (Reported(1452, "foreign key", sqlstate="23000"), TransientError, False),
        (Reported(4078, "an error of MariaDB that is not known"), TransientError, False),
        (Reported(1969, "max_statement_time exceeded", sqlstate="70100"), TransientError, False),
        (Reported(1062, "Duplicate entry"), Refused, False),
        (Reported(1644, "SIGNAL", sqlstate="45000"), Refused, False),
        (Reported("23000", "[SQL Server] duplicate"), Refused, False),
        (Reported("raised by a procedure", sqlstate="P0001"), Refused, False),
        (Reported(1053, "Server shutdown in progress", sqlstate="08S01"), BackendUnavailable, False),
        (Reported("too many clients", sqlstate="53300"), BackendUnavailable, False),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, Reported) else None,
)
def test_what_drivers_report(error: Reported, kind: type[Exception], at_once: bool) -> None:
    """SQLSTATE or number, attribute or first argument: each driver's way of saying it is understood."""
    wrapped = exc.OperationalError("UPDATE", {}, error)
    assert type(translate(wrapped)) is kind
    assert passes_at_once(wrapped) is at_once


@pytest.mark.parametrize(
    ("wrapper", "kind"),
    [
        (exc.IntegrityError, Refused),
        (exc.DataError, Refused),
        (exc.OperationalError, BackendUnavailable),
        (exc.ProgrammingError, TransientError),
        (exc.InterfaceError, BackendUnavailable),
    ],
)
def test_an_error_without_a_code(wrapper: type[exc.DBAPIError], kind: type[Exception]) -> None:
    """Where a driver gives no code, the classes of DB-API say what it means."""
    assert type(translate(wrapper("UPDATE", {}, Exception("ORA-00001: unique constraint")))) is kind
