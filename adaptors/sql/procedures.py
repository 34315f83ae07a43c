"""Calling stored procedures: arguments in their order, what comes out, and result sets. Each database has its own way.

PostgreSQL and MariaDB are tested. Oracle, SQL Server and Db2 are written by their drivers' documentation.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exc, text
from sqlalchemy.types import TypeEngine

from adapter_sdk.errors import PermanentError
from adaptors.sql.names import quoted

ResultSet = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Out:
    """An argument of a procedure that is given back: OUT, or INOUT with a `value`.

    `kind` is its SQLAlchemy type, as `sqlalchemy.Integer()`. SQL Server and Oracle have to be told.
    """

    kind: TypeEngine[Any] | None = None
    value: Any = None


@dataclass(frozen=True, slots=True)
class Called:
    """What a procedure gave back: the values of its `Out` arguments in order, and its result sets, rows as dicts."""

    out: tuple[Any, ...] = ()
    results: tuple[ResultSet, ...] = ()

    @property
    def rows(self) -> ResultSet:
        """The rows of the first result set; none if there is none."""
        return self.results[0] if self.results else []


def call(connection: Connection, name: str, arguments: Sequence[Any]) -> Called:
    """See `Connection.call`."""
    strategy = _STRATEGIES.get(connection.dialect.name)
    if strategy is None:
        raise PermanentError(f"procedures of {connection.dialect.name} cannot be called: write the statement yourself")
    return strategy(connection, quoted(name, connection.dialect), arguments)


def _postgresql(connection: Connection, name: str, arguments: Sequence[Any]) -> Called:
    """CALL answers with one row of everything that is OUT or INOUT."""
    places, values = [], {}
    for number, argument in enumerate(arguments):
        place, value = f":p{number}", argument
        if isinstance(argument, Out):
            value = argument.value
            if argument.kind is not None:
                place = f"CAST({place} AS {argument.kind.compile(connection.dialect)})"
        places.append(place)
        values[f"p{number}"] = value
    result = connection.execute(text(f"CALL {name}({', '.join(places)})"), values)
    return Called(tuple(result.one()) if result.returns_rows else ())


def _mariadb(connection: Connection, name: str, arguments: Sequence[Any]) -> Called:
    """What comes out goes through variables of the session."""
    outs = {number: argument for number, argument in enumerate(arguments) if isinstance(argument, Out)}
    for number, out in outs.items():
        connection.execute(text(f"SET @adaptor_{number} = :value"), {"value": out.value})
    places = [f"@adaptor_{number}" if number in outs else f":p{number}" for number in range(len(arguments))]
    values = {f"p{number}": argument for number, argument in enumerate(arguments) if number not in outs}
    statement = f"CALL {name}({', '.join(places)})"
    result = connection.execute(text(statement), values)
    with _driver_errors(connection, statement):
        results = _result_sets(result.cursor)
    result.close()
    names = ", ".join(f"@adaptor_{number}" for number in outs)
    return Called(tuple(connection.execute(text(f"SELECT {names}")).one()) if outs else (), results)


def _sql_server(connection: Connection, name: str, arguments: Sequence[Any]) -> Called:
    """What comes out goes through variables of the batch, which are its last result set."""
    outs = {number: argument for number, argument in enumerate(arguments) if isinstance(argument, Out)}
    steps, values = ["SET NOCOUNT ON"], {}
    for number, out in outs.items():
        kind = "SQL_VARIANT" if out.kind is None else out.kind.compile(connection.dialect)
        steps.append(f"DECLARE @o{number} {kind} = :p{number}")
    for number, argument in enumerate(arguments):
        values[f"p{number}"] = argument.value if number in outs else argument
    places = [f"@o{number} OUTPUT" if number in outs else f":p{number}" for number in range(len(arguments))]
    steps.append(f"EXEC {name} {', '.join(places)}")
    if outs:
        steps.append(f"SELECT {', '.join(f'@o{number} AS o{number}' for number in outs)}")
    statement = "; ".join(steps)
    result = connection.execute(text(statement), values)
    with _driver_errors(connection, statement):
        found = _result_sets(result.cursor)
    result.close()
    return Called(tuple(found[-1][0].values()), found[:-1]) if outs else Called((), found)


def _oracle(connection: Connection, name: str, arguments: Sequence[Any]) -> Called:
    """What comes out goes through variables of the driver, which has to know their types."""
    with _cursor(connection, name) as cursor:
        given = []
        for argument in arguments:
            if isinstance(argument, Out):
                variable = cursor.var(str if argument.kind is None else argument.kind.python_type)
                variable.setvalue(0, argument.value)
                given.append(variable)
            else:
                given.append(argument)
        answered = cursor.callproc(name, given)
        return Called(_outs(arguments, answered), tuple(_fetched(one) for one in cursor.getimplicitresults()))


def _db2(connection: Connection, name: str, arguments: Sequence[Any]) -> Called:
    """As DB-API has it: the driver gives all arguments back, those that came out changed."""
    with _cursor(connection, name) as cursor:
        given = [argument.value if isinstance(argument, Out) else argument for argument in arguments]
        answered = cursor.callproc(name, given)
        return Called(_outs(arguments, answered), _result_sets(cursor))


def _outs(arguments: Sequence[Any], answered: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(after for before, after in zip(arguments, answered, strict=True) if isinstance(before, Out))


@contextmanager
def _cursor(connection: Connection, statement: str) -> Iterator[Any]:
    cursor = connection.connection.cursor()
    try:
        with _driver_errors(connection, statement):
            yield cursor
    finally:
        cursor.close()


def _result_sets(cursor: Any) -> tuple[ResultSet, ...]:
    found: list[ResultSet] = []
    while cursor is not None:  # SQLAlchemy lets go of a cursor that has nothing to show
        if cursor.description:
            found.append(_fetched(cursor))
        if not cursor.nextset():
            break
    return tuple(found)


def _fetched(cursor: Any) -> ResultSet:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextmanager
def _driver_errors(connection: Connection, statement: str) -> Iterator[None]:
    """What the driver raises behind SQLAlchemy's back, as SQLAlchemy would have raised it."""
    errors = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except errors as error:
        gone = connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
        if gone:
            connection.invalidate(error)
        raise exc.DBAPIError.instance(
            statement, None, error, errors, connection_invalidated=gone, dialect=connection.dialect
        ) from error


_STRATEGIES: dict[str, Callable[[Connection, str, Sequence[Any]], Called]] = {
    "postgresql": _postgresql,
    "mysql": _mariadb,
    "mariadb": _mariadb,
    "mssql": _sql_server,
    "oracle": _oracle,
    "db2": _db2,
    "ibm_db_sa": _db2,
}
