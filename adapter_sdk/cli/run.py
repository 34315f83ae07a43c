"""`adaptor run`."""

import signal
import sys
from types import FrameType

import click

from adapter_sdk.cli.common import App, app_options


@click.command()
@app_options
def run(app: App, as_json: bool) -> None:
    """Run an adaptor until SIGTERM or SIGINT.

    It then finishes what it works on, settles it, and exits with 0; a second signal ends it at once, and the broker
    gives again what was unsettled. Logs go to standard error; --json makes them JSON on a terminal too.
    """
    from adapter_sdk.runner import Runner
    from adapter_sdk.telemetry.logs import configure_logs

    settings = app.settings
    configure_logs(settings.log.level, "json" if as_json else settings.log.format)
    runner = Runner(app.adaptor, settings, app.transport())

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, lambda *_: sys.exit(128 + number))
        runner.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    runner.run()
