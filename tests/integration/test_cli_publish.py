"""`adaptor publish` to a real RabbitMQ: what arrives is what was given, and what did not arrive is said."""

import json
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from tests.command import adaptor, document
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until

ORDER = {"specversion": "1.0", "id": "o-1", "source": "/shop", "type": "shop.placed", "data": {"order_id": "1"}}


class Post:
    """A queue bound to the exchange `events` for types that begin with `shop`."""

    def __init__(self, url: str) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.exchange_declare("events", "topic", durable=True)
        self.channel.queue_declare("post", durable=True)
        self.channel.queue_bind("post", "events", "shop.#")

    def take(self) -> tuple[pika.BasicProperties, bytes]:
        """The next message."""
        got = wait_until(self._get)
        assert got is not None
        return got

    def _get(self) -> tuple[pika.BasicProperties, bytes] | None:
        method, properties, body = self.channel.basic_get("post", auto_ack=True)
        return (properties, body) if method and properties is not None and body is not None else None

    def is_empty(self) -> bool:
        """Whether nothing has come."""
        return self._get() is None


@pytest.fixture
def post(fresh_rabbitmq: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """The queue, on a broker that the environment names, and an empty current folder."""
    monkeypatch.setenv("ADAPTOR_BROKER_URL", fresh_rabbitmq.url)
    monkeypatch.chdir(tmp_path)
    post = Post(fresh_rabbitmq.url)
    with post.connection:
        yield post


def test_files_are_published_as_they_are(post: Post) -> None:
    """CloudEvents and EventBridge files keep every byte, in order, each with the routing key of its type."""
    first = json.dumps(ORDER, indent=3).encode()
    bridge = {"id": "b-1", "source": "shop", "detail-type": "shop.moved", "detail": {"specversion": "x", "n": 1.10}}
    second = json.dumps(bridge).encode()
    Path("first.json").write_bytes(first)
    Path("second.json").write_bytes(second)
    said = adaptor("publish", "first.json", "second.json").output
    assert said == "published shop.placed o-1\npublished shop.moved b-1\n"
    (properties, body), (other, other_body) = post.take(), post.take()
    assert (body, other_body) == (first, second)
    assert (properties.content_type, properties.message_id) == ("application/cloudevents+json", "o-1")
    assert (other.content_type, other.type) == ("application/json", "shop.moved")


def test_standard_input_is_a_file(post: Post) -> None:
    """- reads one event from standard input."""
    body = json.dumps(ORDER).encode()
    assert document(adaptor("publish", "-", "--json", stdin=body)) == [
        {"id": "o-1", "type": "shop.placed", "exchange": "events", "result": "confirmed"}
    ]
    assert post.take()[1] == body


@pytest.mark.parametrize("data", ['{"name": "Zoë"}', "@order.json", "@-"])
def test_an_event_of_arguments(post: Post, data: str) -> None:
    """--data takes JSON, a file or standard input, and every option stands in the envelope."""
    given = '{"name": "Zoë"}'.encode()
    Path("order.json").write_bytes(given)
    named = ("--id", "7", "--source", "/till", "--subject", "s", "--correlation", "c")
    adaptor("publish", "--type", "shop.placed", "--data", data, *named, stdin=given)
    envelope = json.loads(post.take()[1])
    assert envelope.pop("time")
    assert envelope == {
        "specversion": "1.0",
        "id": "7",
        "source": "/till",
        "type": "shop.placed",
        "subject": "s",
        "correlationid": "c",
        "datacontenttype": "application/json",
        "data": {"name": "Zoë"},
    }


def test_raw_files_are_not_read(post: Post) -> None:
    """What is no event at all can be sent, to try what an adaptor does with it."""
    Path("odd.bin").write_bytes(b"\x00\xff not an event")
    adaptor("publish", "--raw", "--type", "shop.odd", "odd.bin")
    assert post.take()[1] == b"\x00\xff not an event"


def test_an_event_that_no_queue_takes(post: Post) -> None:
    """Status 1, a sentence that says what to do, and the events beside it are published."""
    for name, kind in (("a.json", "till.closed"), ("b.json", "shop.placed")):
        Path(name).write_text(json.dumps({**ORDER, "type": kind}))
    answer = adaptor("publish", "a.json", "b.json", "--json", status=1)
    assert [row["result"] for row in document(answer)] == ["returned", "confirmed"]
    assert "till.closed: no queue is bound to exchange 'events' for it" in answer.stderr
    assert json.loads(post.take()[1])["type"] == "shop.placed"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("{", "bad.json: the body is not JSON"),
        ('{"id": "1"}', "bad.json: no envelope"),
        ('{"specversion": "1.0", "id": "", "source": "/s", "type": "shop.placed"}', "bad.json: "),
    ],
)
def test_a_malformed_file_stops_all(post: Post, body: str, sentence: str) -> None:
    """Its name and its fault are said with status 1, and not even the good file before it is published."""
    Path("good.json").write_text(json.dumps(ORDER))
    Path("bad.json").write_text(body)
    assert sentence in adaptor("publish", "good.json", "bad.json", status=1).stderr
    assert post.is_empty()


def test_an_exchange_that_is_not_there(post: Post) -> None:
    """The broker's refusal is a sentence that names the exchange; the default exchange leads to a queue by its name."""
    said = adaptor("publish", "--type", "t", "--data", "{}", "--exchange", "nowhere", status=3).stderr
    assert "There is no exchange 'nowhere'" in said
    adaptor("publish", "--type", "post", "--data", "{}", "--exchange", "")
    assert json.loads(post.take()[1])["type"] == "post"
