"""`adaptor run`."""

import signal
import sys
from types import FrameType

import click

from adapter_sdk.cli.common import App, app_options
from adapter_sdk.errors import ConfigError
from adapter_sdk.ordering import declared_order


@click.command()
@click.option("--processes", type=click.IntRange(1, 64), default=1, help="So many, which compete for the events.")
@app_options
def run(app: App, as_json: bool, processes: int) -> None:
    """Run an adaptor until SIGTERM or SIGINT.

    It then finishes what it works on, settles it, and exits with 0; a second signal ends it at once, and the broker
    gives again what was unsettled. Logs go to standard error; --json makes them JSON on a terminal too.

    Several processes need a ledger that they share. One that ends is started again.
    """
    from adapter_sdk.telemetry.logs import configure_logs

    settings = app.settings
    configure_logs(settings.log.level, "json" if as_json else settings.log.format)
    if processes == 1:
        _run(app)
        return
    from adapter_sdk.cli.processes import Supervisor

    _check_that_they_can_compete(app)
    sys.exit(Supervisor(processes, lambda: _run(app), app.adaptor.name).run())


def _check_that_they_can_compete(app: App) -> None:
    name = app.adaptor.name
    if app.adaptor._gathering is not None:
        raise ConfigError(f"--processes: {name} gathers events, for which one process consumes; start it once")
    if declared_order(app.adaptor) is not None:
        raise ConfigError(f"--processes: {name} keeps events in order, for which one process consumes; start it once")
    if app.settings.ledger.url is None and app.adaptor._family(app.settings.family).ledger() is None:
        raise ConfigError(
            f"--processes: {name} has its ledger in a local file, which one process uses at a time; give them one that "
            "they share: [ledger] url"
        )


def _run(app: App) -> None:
    from adapter_sdk.runner import Runner

    runner = Runner(app.adaptor, app.settings, app.transport())

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, lambda *_: sys.exit(128 + number))
        runner.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    runner.run()
