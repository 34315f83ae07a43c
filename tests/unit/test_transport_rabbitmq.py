"""The parts of the RabbitMQ transport that need no broker."""

import struct
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import data, spec
from pytest_mock import MockerFixture

from adapter_sdk.errors import AdaptorError, BrokerError, ConfigError, PermanentError
from adapter_sdk.transport.base import UNDECODABLE, UNDECODABLE_TABLE, Confirm, Delivery, Message, QueueTaken
from adapter_sdk.transport.checks import MAX_HEADER_DEPTH, check_all, check_message
from adapter_sdk.transport.rabbitmq import guard
from adapter_sdk.transport.rabbitmq.address import parse_address
from adapter_sdk.transport.rabbitmq.consuming import ConsumingChannel
from adapter_sdk.transport.rabbitmq.encoding import to_frames
from adapter_sdk.transport.rabbitmq.failures import channel_closed
from adapter_sdk.transport.rabbitmq.link import Link
from adapter_sdk.transport.rabbitmq.publishing import PublishingChannel
from adapter_sdk.transport.rabbitmq.transport import RabbitMQTransport


@pytest.mark.parametrize("bomb", list(guard.BOMBS.values()), ids=list(guard.BOMBS))
def test_bombs_kill_an_unguarded_pika(bomb: bytes, mocker: MockerFixture) -> None:
    """Without the guard pika raises on each bomb; with it, headers say why and keep the bytes."""
    table = struct.pack(">I", len(bomb)) + bomb
    headers, end = data.decode_table(table + b"rest", 0)
    assert (set(headers), headers[UNDECODABLE_TABLE], end) == ({UNDECODABLE, UNDECODABLE_TABLE}, table, len(table))
    mocker.patch.object(data, "decode_table", guard._pika_decode_table)
    mocker.patch.object(data, "decode_value", guard._pika_decode_value)
    # Hypothesis, used by other tests in the same process, raises the limit.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        with pytest.raises((ValueError, RecursionError, OverflowError)):
            data.decode_table(table, 0)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("name", ["decode_table", "decode_value", "encode_value"])
def test_self_test_has_teeth(name: str, mocker: MockerFixture) -> None:
    """A pika whose codec goes round a part of the guard stops the transport from starting, with a clear error."""
    mocker.patch.object(data, name, getattr(guard, f"_pika_{name}"))
    with pytest.raises(ConfigError, match=r"pika .* handles headers"):
        RabbitMQTransport("amqp://host")


@pytest.mark.parametrize("levels", [MAX_HEADER_DEPTH, MAX_HEADER_DEPTH + 1])
def test_depth_limit(levels: int) -> None:
    """Headers of 32 levels are sent and decoded; one level more is neither."""
    headers: dict[str, Any] = {}
    for _ in range(levels - 1):
        headers = {"n": headers}
    pieces: list[bytes] = []
    data.encode_table(pieces, headers)
    decoded, _ = data.decode_table(b"".join(pieces), 0)
    if levels <= MAX_HEADER_DEPTH:
        check_message(Message(b"", headers=headers))
        assert decoded == headers
    else:
        with pytest.raises(PermanentError, match="32 levels"):
            check_message(Message(b"", headers=headers))
        assert "32 levels" in str(decoded[UNDECODABLE])


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.integers(0, 2**37).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
    | st.decimals(-(10**6), 10**6, places=3)
)
tables = st.dictionaries(
    st.text(max_size=5),
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)),
    max_size=4,
)


@given(tables)
def test_headers_survive(headers: dict[str, Any]) -> None:
    """Any headers that the check lets pass are the same after encoding and decoding."""
    check_message(Message(b"", headers=headers))
    pieces: list[bytes] = []
    data.encode_table(pieces, headers)
    assert data.decode_table(b"".join(pieces), 0)[0] == headers


@given(st.binary(max_size=200))
def test_no_table_can_raise(content: bytes) -> None:
    """Whatever bytes a header table holds, decoding it ends exactly at its end and raises nothing."""
    headers, end = data.decode_table(struct.pack(">I", len(content)) + content, 0)
    assert end == len(content) + 4
    assert isinstance(headers, dict)


def test_invalid_utf8() -> None:
    """A property that is not UTF-8 becomes text with U+FFFD in place of each bad byte."""
    flags = struct.pack(">H", spec.BasicProperties.FLAG_MESSAGE_ID)
    properties = spec.BasicProperties().decode(flags + b"\x03a\xffb")
    assert properties.message_id == "a\ufffdb"


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal(2**31), Decimal("1e-300"), datetime(1969, 1, 1, tzinfo=UTC)])
def test_values_out_of_range(value: object) -> None:
    """Decimals and times that AMQP would cut off are refused by name."""
    with pytest.raises(PermanentError, match=r"Message 1 of 1 .*header 'h'"):
        check_all([Message(b"", headers={"h": value})])


def test_headers_too_large() -> None:
    """Headers that do not fit a frame are refused; sent, they would cost the connection."""
    with pytest.raises(PermanentError, match=r"headers take \d+ of 4096 bytes"):
        to_frames([Message(b"", headers={"h": "x" * 5000})], 1, 4096)


@pytest.mark.parametrize(
    ("url", "host", "port", "vhost", "user", "password"),
    [
        ("amqp://h", "h", 5672, "/", "guest", "guest"),
        ("amqps://h/", "h", 5671, "/", "guest", "guest"),
        ("amqp://u:p@h:1/v", "h", 1, "v", "u", "p"),
        ("amqp://u%40x:p%2F%3A@h/%2f", "h", 5672, "/", "u@x", "p/:"),
        ("amqp://u:@[::1]:7/a%2Fb", "::1", 7, "a/b", "u", ""),
    ],
)
def test_address(url: str, host: str, port: int, vhost: str, user: str, password: str) -> None:
    """A URL is read as RabbitMQ's URI specification has it, and what is shown of it leads to the same place."""
    address = parse_address(url)
    assert (address.host, address.port, address.vhost) == (host, port, vhost)
    assert (address.user, address.password) == (user, password)
    again = parse_address(str(address).replace("@", ":@", 1))
    assert (again.host, again.port, again.vhost, again.user) == (host, port, vhost, user)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://u:hidden@h", "amqp://"),
        ("amqp://u:hidden@", "names no host"),
        ("amqp://hidden@h", "no password"),
        ("amqp://u:hidden@h/a/b", "%2F"),
        ("amqp://u:hidden@h/?ssl_options={}", "options"),
        ("amqp://u:hidden@h/v#hidden", "options"),
        ("amqp://u:hidden@h:99999", "port"),
        ("amqp://u:hid/den@h", "port"),
        ("amqp://u:hidden@[::1", "host"),
    ],
)
def test_wrong_address(url: str, says: str) -> None:
    """A wrong URL is a ConfigError that says which part is wrong and quotes nothing of it."""
    with pytest.raises(ConfigError, match=says) as caught:
        parse_address(url)
    assert "hid" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("code", "text", "kind", "says"),
    [
        (
            406,
            (
                "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': "
                "received the value '200' of type 'signedint' but current is the value '100' of type 'signedint'"
            ),
            ConfigError,
            "Queue 'q' exists with x-message-ttl 100, but 200 is wanted",
        ),
        (
            406,
            (
                "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q' in vhost 'v': "
                "received none but current is the value '100' of type 'signedint'"
            ),
            ConfigError,
            "Queue 'q' exists with x-expires 100, but not set is wanted",
        ),
        (
            406,
            (
                "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'erp' in vhost '/': "
                "received 'quorum' but current is 'classic'"
            ),
            ConfigError,
            "or change [broker] queue_type; an existing one is never altered",
        ),
        (405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue", QueueTaken, "Another process"),
        (403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", QueueTaken, "Another process"),
        (403, "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'", ConfigError, "refused"),
        (404, "NOT_FOUND - home node 'a@b' of durable queue 'q' is down or inaccessible", BrokerError, "is down"),
        (406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out", BrokerError, "timed out"),
    ],
)
def test_channel_errors(code: int, text: str, kind: type[AdaptorError], says: str) -> None:
    """What the broker writes when it closes a channel decides between trying again and a person's work."""
    error = channel_closed(pika.exceptions.ChannelClosedByBroker(code, text), parse_address("amqp://h"))
    assert type(error) is kind
    assert says in str(error)


class Calls:
    """A channel that writes down what it is told to send."""

    is_open = True

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    def basic_ack(self, tag: int, multiple: bool = False) -> None:
        self.sent.append(("ack", tag, multiple))

    def basic_nack(self, tag: int, requeue: bool) -> None:
        self.sent.append(("nack", tag, requeue))


@pytest.fixture
def link(mocker: MockerFixture) -> Any:
    """A link that runs what is posted at once."""
    link = mocker.create_autospec(Link, instance=True)
    link.post.side_effect = lambda callback: callback() or True
    return link


def consuming(link: Any, outstanding: int) -> tuple[ConsumingChannel, Calls, list[Delivery]]:
    """A channel that has delivered so many messages, what it sends, and the deliveries."""
    channel, calls = ConsumingChannel(link, str, timeout=1, watch_every=1), Calls()  # type: ignore[arg-type]
    channel._channel = calls  # type: ignore[assignment]
    channel._outstanding = dict.fromkeys(range(1, outstanding + 1))
    return channel, calls, [Delivery(Message(b""), (channel, tag)) for tag in range(1, outstanding + 1)]


def test_ack_of_a_prefix(link: Any) -> None:
    """The longest settled prefix costs one `multiple` ack and the rest one each, whatever the order of settling."""
    channel, calls, deliveries = consuming(link, 9)
    channel.ack([deliveries[4], deliveries[1], deliveries[0]])
    channel.ack([deliveries[2]])
    channel.ack([deliveries[7], deliveries[3], deliveries[5]])
    channel.ack([deliveries[8], deliveries[6]])
    assert calls.sent == [
        ("ack", 2, True),
        ("ack", 5, False),
        ("ack", 3, False),
        ("ack", 6, True),
        ("ack", 8, False),
        ("ack", 9, True),
    ]


def test_settled_twice_or_elsewhere(link: Any) -> None:
    """A delivery settled before, or one of another channel, is never sent to the broker."""
    channel, calls, deliveries = consuming(link, 2)
    other, _, others = consuming(link, 2)
    channel.release(deliveries[:1])
    channel.ack(deliveries[:1] + others)
    channel.release([*deliveries, Delivery(Message(b""), None)])
    assert calls.sent == [("nack", 1, True), ("nack", 2, True)]
    assert list(other._outstanding) == [1, 2]


def publishing(link: Any, mocker: MockerFixture, *messages: Message) -> tuple[PublishingChannel, Any]:
    """A channel that has sent these messages, and the future of their confirms."""
    channel = PublishingChannel(link, str, timeout=1)  # type: ignore[arg-type]
    channel._channel = mocker.Mock(is_open=True)
    link.connection = mocker.Mock()
    answer: Any = mocker.Mock(done=lambda: False)
    channel._send(messages, [b"frames"], answer)
    return channel, answer


def give_back(channel: PublishingChannel, message_id: str | None = None) -> None:
    """Return a message as the broker does."""
    method = spec.Basic.Return(exchange="", routing_key="k")
    channel._on_return(channel._channel, method, spec.BasicProperties(headers={}, message_id=message_id), b"x")


def test_identical_messages_returned(link: Any, mocker: MockerFixture) -> None:
    """Of messages alike in everything each return is matched to one, and `multiple` confirms settle the rest."""
    channel, answer = publishing(link, mocker, *[Message(b"x", routing_key="k")] * 3)
    give_back(channel)
    give_back(channel)
    channel._on_confirm(mocker.Mock(method=spec.Basic.Ack(3, multiple=True)))
    answer.set_result.assert_called_once_with([Confirm.RETURNED, Confirm.RETURNED, Confirm.CONFIRMED])


def test_similar_messages_returned(link: Any, mocker: MockerFixture) -> None:
    """Of messages alike but for a property the one that came back is the one that is reported."""
    messages = [Message(b"x", routing_key="k", message_id=message_id) for message_id in "abc"]
    channel, answer = publishing(link, mocker, *messages)
    give_back(channel, "b")
    channel._on_confirm(mocker.Mock(method=spec.Basic.Nack(3)))
    channel._on_confirm(mocker.Mock(method=spec.Basic.Ack(2, multiple=True)))
    answer.set_result.assert_called_once_with([Confirm.CONFIRMED, Confirm.RETURNED, Confirm.NACKED])


def test_return_that_fits_nothing(link: Any, mocker: MockerFixture) -> None:
    """A return of a message that was not sent fails all that are on their way: one of them may be the lost one."""
    channel, answer = publishing(link, mocker, Message(b"other", routing_key="k"))
    give_back(channel)
    assert isinstance(answer.set_exception.call_args.args[0], BrokerError)
