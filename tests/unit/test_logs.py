import io
import json
import logging

import pytest
import structlog

from adapter_sdk.telemetry.logs import configure_logs


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_json_in_production() -> None:
    """On a stream that is no terminal every line is one JSON object with its facts, level and time in UTC."""
    stream = io.StringIO()
    configure_logs(stream=stream)
    structlog.get_logger("adaptor").info("applied", event_id="e-1\n\x1b[31m", attempt=1, correlation_id=None)
    (line,) = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert fields.pop("timestamp").endswith("Z")
    assert fields == {
        "event": "applied",
        "event_id": "e-1\n\x1b[31m",
        "attempt": 1,
        "correlation_id": None,
        "level": "info",
    }


def test_text_on_a_terminal() -> None:
    """On a terminal lines are for reading, and leave out what is not known."""
    stream = Terminal()
    configure_logs(stream=stream)
    structlog.get_logger("adaptor").info("applied", event_id="e-1", correlation_id=None)
    assert "applied" in stream.getvalue()
    assert "e-1" in stream.getvalue()
    assert "correlation_id" not in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize(("format", "is_json"), [("json", True), ("console", False)])
def test_format_can_be_chosen(format: str, is_json: bool) -> None:
    """Either form can be asked for on any stream."""
    for stream in (io.StringIO(), Terminal()):
        configure_logs(format=format, stream=stream)  # type: ignore[arg-type]
        structlog.get_logger().warning("line")
        assert stream.getvalue().startswith("{") is is_json


def test_level() -> None:
    """Lines below the level are left out."""
    stream = io.StringIO()
    configure_logs("warning", stream=stream)
    log = structlog.get_logger()
    log.info("quiet")
    log.error("loud")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_traceback_shows_no_values(format: str) -> None:
    """An error is logged with its traceback and without local variables, which hold payloads and secrets."""
    stream = io.StringIO()
    configure_logs(format=format, stream=stream)  # type: ignore[arg-type]

    def handler(payload: str) -> None:
        raise RuntimeError("boom")

    try:
        handler("hunter" + "2")
    except RuntimeError as error:
        structlog.get_logger().error("retry", exc_info=error)
    assert "boom" in stream.getvalue()
    assert "in handler" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_libraries_are_heard_from_warning_on() -> None:
    """Records of libraries come out in the same form with their logger's name; chatter and envelopes do not."""
    stream = io.StringIO()
    configure_logs("debug", stream=stream)
    logging.getLogger("zeep.transports").debug("<password>hunter2</password>")
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("pika").error("lost, in several lines")
    logging.getLogger("some.library").warning("lost %s", "connection")
    (line,) = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert (fields["event"], fields["level"], fields["logger"]) == ("lost connection", "warning", "some.library")
