"""`adaptor doctor`: does everything around the adaptor answer?"""

from collections.abc import Callable
from typing import NamedTuple

import click

from adapter_sdk.cli.common import FAILED, App, app_options, echo_json, echo_table
from adapter_sdk.errors import AdaptorError, ConfigError
from adapter_sdk.ledger.base import State
from adapter_sdk.topology import plan, without


@click.command()
@app_options
def doctor(app: App, as_json: bool) -> None:
    """Connect to broker, ledger and backend, consume nothing, and say what fails and what to do.

    Exit status 0 if all is well, 1 if something failed, 3 if the settings cannot be read.
    """
    settings = app.settings
    checks: list[tuple[str, Callable[[], str]]] = [
        ("static check", lambda: _static(app)),
        ("broker", lambda: _broker(app)),
        ("backend", lambda: _backend(app)),
        ("ledger", lambda: _ledger(app)),
    ]
    rows = [(name, *_try(test)) for name, test in checks]
    if all(ok for _, ok, _ in rows):
        rows.append(("events", *_try(lambda: _events(app))))
    app.family.close()
    if as_json:
        echo_json(
            {
                "adaptor": app.adaptor.name,
                "folder": str(settings.folder),
                "checks": [{"check": name, "ok": ok, "says": says} for name, ok, says in rows],
            }
        )
    else:
        echo_table(("CHECK", "", "SAYS"), [(name, "ok" if ok else "FAILED", says) for name, ok, says in rows])
    if not all(ok for _, ok, _ in rows):
        click.get_current_context().exit(FAILED)


def _try(test: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, test()
    except ConfigError as error:
        return False, "; ".join(error.faults)
    except AdaptorError as error:
        return False, str(error)


def _static(app: App) -> str:
    faults = app.family.check()
    if faults:
        raise ConfigError(*faults)
    return app.family.promise


def _broker(app: App) -> str:
    transport = app.transport()
    try:
        transport.open()
        wanted = plan(app.adaptor, app.settings)
        missing = transport.missing(wanted)
        transport.declare(without(wanted, missing))
        if missing and not app.settings.broker.declare:
            raise ConfigError(f"missing: {', '.join(missing)}; create them with `adaptor topology apply`")
        later = f"; not there yet, made at the first run: {', '.join(missing)}" if missing else ""
        return f"{transport.name}{later}"
    finally:
        transport.close()


def _backend(app: App) -> str:
    app.family.open()
    app.family.probe()
    return "can be reached"


def _ledger(app: App) -> str:
    counts = _counts(app)
    if counts is None:
        return f"{app.settings.ledger_path(app.adaptor.name)} is made at the first run"
    standing = ", ".join(f"{count} {state}" for state, count in counts.events.items()) or "empty"
    owed = f"; {counts.owed} replies owed" if counts.owed else ""
    return standing + owed + (f"; {counts.set_aside} answers set aside" if counts.set_aside else "")


class _Counts(NamedTuple):
    events: dict[State, int]
    owed: int
    set_aside: int


def _counts(app: App) -> _Counts | None:
    """How many events stand in each state, and how it stands with answers; None if there is no ledger yet."""
    path = app.settings.ledger_path(app.adaptor.name)
    if app.family.ledger() is None and app.settings.ledger.url is None and not path.exists():
        return None
    ledger = app.ledger
    ledger.open()
    try:
        return _Counts(ledger.counts(), *ledger.answer_counts())
    finally:
        ledger.close()


def _events(app: App) -> str:
    """All events that the broker has accepted, by where they are. Exact while no running adaptor has any in hand."""
    name, transport = app.adaptor.name, app.transport()
    missing = transport.missing(plan(app.adaptor, app.settings))
    queued = 0 if name in missing else transport.depth(name)
    found = _counts(app)
    counts = found.events if found else {}
    total = " + ".join([*(f"{count} {state}" for state, count in counts.items()), f"{queued} queued"])
    return f"{sum(counts.values()) + queued} = {total}"
