"""`adaptor publish`: an event from a file or from arguments, confirmed by the broker."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from adapter_sdk.cli.common import FAILED, App, echo_json, exit_status, fail, parsed_json, read_input
from adapter_sdk.envelopes import STRUCTURED, Limits, Opened, format_time, open_envelope
from adapter_sdk.errors import MalformedEvent
from adapter_sdk.transport.base import Confirm, Message

# Options that make an event, which a file has in it, by their parameters.
_MAKE_AN_EVENT = {
    "event_type": "--type",
    "data": "--data",
    "source": "--source",
    "event_id": "--id",
    "subject": "--subject",
    "correlation": "--correlation",
}


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--type", "event_type", help="Event type, to make an event from arguments.")
@click.option("--data", help="Event data as JSON, or @FILE.")
@click.option("--source", default="/adaptor/publish", show_default=True, help="CloudEvents source.")
@click.option("--id", "event_id", help="Event id; without it, a new one.")
@click.option("--subject", help="CloudEvents subject.")
@click.option("--correlation", help="Correlation id.")
@click.option("--raw", is_flag=True, help="Publish FILES unread; --type is the routing key.")
@click.option("--exchange", help="Exchange, instead of the one in the settings.")
@click.option("--broker", metavar="URL", help="Broker URL instead of the one in the settings.")
@click.option("--config", type=click.Path(path_type=Path), envvar="ADAPTOR_CONFIG", help="Settings file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def publish(
    files: tuple[Path, ...],
    event_type: str | None,
    data: str | None,
    source: str,
    event_id: str | None,
    subject: str | None,
    correlation: str | None,
    raw: bool,
    exchange: str | None,
    broker: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Publish events from FILES, or one made of --type and --data.

    A file holds one CloudEvents or EventBridge envelope; - is standard input. Nothing is published if one file cannot
    be read (exit status 2) or holds no event (1). Exit status 1 also if the broker did not take one, for example
    because no queue is bound for its type.
    """
    _check_usage(click.get_current_context(), raw)
    with exit_status():
        app = App(None, config, broker)
        settings = app.broker_settings
        limits = Limits(max_bytes=settings.limits.max_bytes, max_depth=settings.limits.max_depth)
        bodies = [(str(file), read_input(file)) for file in files]
        if not files:
            attributes = {"id": event_id, "source": source, "subject": subject, "correlationid": correlation}
            bodies = [("--data", _from_arguments(event_type, data, attributes))]
        exchange = settings.broker.exchange if exchange is None else exchange
        messages = [_message(name, body, limits, exchange, event_type if raw else None) for name, body in bodies]
        transport = app.reachable_transport(settings)
        transport.open()
        try:
            confirms = transport.publish(messages)
        finally:
            transport.close()
    _report(messages, confirms, as_json)


def _check_usage(context: click.Context, raw: bool) -> None:
    given = [
        option
        for parameter, option in _MAKE_AN_EVENT.items()
        if context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE
    ]
    if raw and not (context.params["files"] and given == ["--type"]):
        raise click.UsageError("--raw takes FILES and --type, the routing key, and no other option that makes an event")
    if context.params["files"] and given and not raw:
        raise click.UsageError(f"FILES hold whole events; {', '.join(given)} would change nothing about them")


def _from_arguments(event_type: str | None, data: str | None, attributes: dict[str, str | None]) -> bytes:
    if event_type is None or data is None:
        raise click.UsageError("give FILES, or --type and --data")
    value = parsed_json("--data", read_input(Path(data[1:])) if data.startswith("@") else data)
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        **{name: value for name, value in attributes.items() if value is not None},
        "type": event_type,
        "time": format_time(datetime.now(UTC)),
        "datacontenttype": "application/json",
        "data": value,
    }
    envelope.setdefault("id", str(uuid.uuid4()))
    return json.dumps(envelope, ensure_ascii=False).encode("utf-8")


def _message(name: str, body: bytes, limits: Limits, exchange: str, raw_type: str | None) -> Message:
    if raw_type is not None:
        return Message(body=body, exchange=exchange, routing_key=raw_type, content_type="application/json")
    try:
        opened: Opened = open_envelope(Message(body=body), limits)
    except MalformedEvent as error:
        fail(FAILED, f"{name}: {error}")
    return Message(
        body=body,
        exchange=exchange,
        routing_key=opened.type,
        content_type=STRUCTURED if "specversion" in json.loads(body) else "application/json",
        message_id=opened.id,
        type=opened.type,
    )


def _report(messages: list[Message], confirms: list[Confirm], as_json: bool) -> None:
    rows = [
        {"id": message.message_id, "type": message.routing_key, "exchange": message.exchange, "result": confirm.value}
        for message, confirm in zip(messages, confirms, strict=True)
    ]
    if as_json:
        echo_json(rows)
    for row, confirm in zip(rows, confirms, strict=True):
        if confirm is Confirm.CONFIRMED and not as_json:
            click.echo(f"published {row['type']} {row['id'] or ''}".rstrip())
        elif confirm is Confirm.RETURNED:
            click.echo(
                f"error: {row['type']}: no queue is bound to exchange {row['exchange']!r} for it; "
                "run the adaptor or `adaptor topology apply` first",
                err=True,
            )
        elif confirm is Confirm.NACKED:
            click.echo(f"error: {row['type']}: the broker refused it; a queue may be full", err=True)
    if any(confirm is not Confirm.CONFIRMED for confirm in confirms):
        click.get_current_context().exit(FAILED)
