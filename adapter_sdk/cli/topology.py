"""`adaptor topology`: what an adaptor needs on the broker."""

import click

from adapter_sdk.cli.common import App, app_options, echo_json, echo_table
from adapter_sdk.topology import plan


@click.group()
def topology() -> None:
    """Exchanges, queues and bindings of an adaptor."""


@topology.command()
@app_options
def show(app: App, as_json: bool) -> None:
    """Print what the adaptor needs; connect nowhere."""
    wanted = plan(app.adaptor, app.settings)
    if as_json:
        echo_json(
            {
                "exchanges": [{"name": item.name, "type": item.kind, "durable": True} for item in wanted.exchanges],
                "queues": [
                    {"name": item.name, "durable": True, "arguments": dict(item.arguments)} for item in wanted.queues
                ],
                "bindings": [
                    {"source": item.exchange, "destination": item.queue, "routing_key": item.routing_key}
                    for item in wanted.bindings
                ],
            }
        )
        return
    rows: list[tuple[str, str, str]] = [("exchange", item.name, item.kind) for item in wanted.exchanges]
    rows += [
        ("queue", queue.name, ", ".join(f"{name}={value}" for name, value in queue.arguments.items()))
        for queue in wanted.queues
    ]
    rows += [("binding", item.queue, f"{item.exchange} {item.routing_key}") for item in wanted.bindings]
    echo_table(("WHAT", "NAME", "HOW"), rows)


@topology.command()
@app_options
def apply(app: App, as_json: bool) -> None:
    """Create what is missing. What is there otherwise is left alone and named; exit status 3."""
    wanted = plan(app.adaptor, app.settings)
    transport = app.reachable_transport()
    transport.open()
    try:
        missing = transport.missing(wanted)
        transport.declare(wanted)
    finally:
        transport.close()
    if as_json:
        echo_json({"created": missing})
    else:
        click.echo(f"created: {', '.join(missing)}" if missing else "everything was there")
