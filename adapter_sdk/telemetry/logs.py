"""Logs through structlog: JSON in production, readable on a terminal. Payloads and secrets are never in them."""

import logging
import sys
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

# Libraries that write whole envelopes, passwords included, or a traceback per lost connection at lower levels.
_QUIET = ("zeep", "urllib3", "requests", "pika", "sqlalchemy", "paramiko")


def configure_logs(
    level: str = "info", format: Literal["auto", "json", "console"] = "auto", stream: TextIO | None = None
) -> None:
    """Send all log lines to `stream`, standard error by default: one JSON object a line, or text on a terminal."""
    stream = stream or sys.stderr
    readable = format == "console" or (format == "auto" and stream.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _in_order,
    ]
    render: list[Processor] = (
        # The default traceback shows local variables, and with them payloads and secrets.
        [
            _without_nothing,
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback),
        ]
        if readable
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _catch_library_logs(stream, [*shared, _logger_name], render)


def _in_order(_: Any, __: str, line: Any) -> Any:
    """What happened, when and where stands first in a line."""
    first = {name: line[name] for name in ("timestamp", "level", "event", "adaptor") if name in line}
    return {**first, **line}


def _without_nothing(_: Any, __: str, line: Any) -> Any:
    """On a terminal, fields that are not known only take room."""
    return {key: value for key, value in line.items() if value is not None}


def _logger_name(_: Any, __: str, line: Any) -> Any:
    record = line.get("_record")
    return {**line, "logger": record.name} if record else line


def _catch_library_logs(stream: TextIO, before: list[Processor], render: list[Processor]) -> None:
    """Library log records come out in the same form, from WARNING on."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Its errors reach the transport, which says once what they mean; pika itself logs each in several lines.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
