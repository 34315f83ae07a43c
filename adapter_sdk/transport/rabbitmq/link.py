"""One AMQP connection with an I/O thread of its own, which alone touches pika."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import pika
from pika import frame, spec

from adapter_sdk.errors import AdaptorError, BrokerError
from adapter_sdk.transport.rabbitmq.deliveries import Deliveries
from adapter_sdk.transport.rabbitmq.failures import Translate

T = TypeVar("T")

# Bytes of a frame around its payload: type, channel and size before it, an end mark after it.
_FRAME_OVERHEAD = 8

_READ_SIZE = 64 * 1024
"""Bytes asked of the socket at once. pika asks for 4 KiB: at each call the thread gives the interpreter away, and a
worker that computes keeps it for 5 ms."""

CLOSE_TIMEOUT = 3.0
"""Seconds to wait for the broker's part of closing. Under an alarm it may never come."""


class Connection(pika.SelectConnection):
    """pika's connection with two doors more: encoded frames out, and an end without asking the broker.

    What it reads goes a shorter way: `deliveries` takes what it knows, the buffer is not copied for each frame, and
    content is looked at by its channel alone, because nothing else waits for it.
    """

    deliveries: Deliveries | None = None

    _frame_buffer: bytes
    bytes_received: int
    frames_received: int

    def _proto_connection_made(self, transport: Any) -> None:
        transport._MAX_RECV_BYTES = _READ_SIZE
        super()._proto_connection_made(transport)  # type: ignore[misc]

    def _on_data_available(self, data_in: bytes) -> None:
        if not self.is_open:
            super()._on_data_available(data_in)  # type: ignore[misc]
            return
        buffer, start = self._frame_buffer + data_in, 0
        while len(buffer) - start >= _FRAME_OVERHEAD:
            if self.deliveries is not None and (end := self.deliveries.read(buffer, start)) is not None:
                if end == start:
                    break
                start = end
                continue
            end = start + _FRAME_OVERHEAD + int.from_bytes(buffer[start + 3 : start + 7], "big")
            if end > len(buffer):
                break
            _, value = frame.decode_frame(buffer[start:end])
            start = end
            if value is not None:
                self._process_frame(value)
        self._frame_buffer = buffer[start:]
        self.bytes_received += start

    def _process_frame(self, value: Any) -> None:
        if isinstance(value, (frame.Header, frame.Body)) or isinstance(
            getattr(value, "method", None), spec.Basic.Deliver
        ):
            self.frames_received += 1
            self._deliver_frame_to_channel(value)  # type: ignore[attr-defined]
        else:
            super()._process_frame(value)  # type: ignore[misc]

    def write(self, frames: bytes) -> None:
        """Send encoded frames."""
        self._output_marshaled_frames([frames])  # type: ignore[attr-defined]

    def abort(self, error: Exception) -> None:
        """Drop the socket; the close callback is called with `error`."""
        if not self.is_closed:
            self._terminate_stream(error)  # type: ignore[attr-defined]


class Link:
    """A connection that lives until it is closed or lost, and then is done with; a new one is a new Link.

    `connection` is for the I/O thread only. `on_ended`, once set, is called there, once, when the connection is gone
    for any reason: closed by us, by the broker, a lost socket, or an exception inside pika or one of our callbacks.
    """

    def __init__(self, parameters: pika.ConnectionParameters, role: str, translate: Translate) -> None:
        self.unblocked = threading.Event()
        self.unblocked.set()
        self.on_ended: Callable[[Exception], None] = lambda _: None
        self._translate = translate
        self._opened: Future[None] = Future()
        self._error: Exception = BrokerError("The connection is closed.")
        self._lock = threading.Lock()
        self._ended = False
        self._waiting: set[Future[Any]] = set()
        self._thread = threading.Thread(target=self._run, name=f"rabbitmq-{role}", daemon=True)
        self.connection = Connection(
            parameters,
            on_open_callback=lambda _: succeed(self._opened, None),
            on_open_error_callback=lambda _, error: self._stop(error),
            on_close_callback=lambda _, error: self._stop(error),
        )
        self.connection.add_on_connection_blocked_callback(lambda *_: self.unblocked.clear())
        self.connection.add_on_connection_unblocked_callback(lambda *_: self.unblocked.set())

    def open(self, timeout: float) -> None:
        """Connect within `timeout` seconds. Raises what `translate` makes of the failure."""
        self._thread.start()
        try:
            self._opened.result(timeout)
        except TimeoutError as error:
            self.close()
            raise self._translate(error) from None

    @property
    def alive(self) -> bool:
        """Whether the connection is open, as far as anyone can know."""
        return self._opened.done() and not self._ended

    @property
    def is_current_thread(self) -> bool:
        """Whether the caller runs on the I/O thread, inside one of its callbacks."""
        return threading.current_thread() is self._thread

    def post(self, callback: Callable[[], None]) -> bool:
        """Have the I/O thread call `callback`; False, and nothing, if the connection is gone."""
        with self._lock:
            if not self._ended:
                self.connection.ioloop.add_callback_threadsafe(callback)
            return not self._ended

    def ask(self, begin: Callable[[Future[T]], None], timeout: float, what: str, *, drop_if_late: bool = True) -> T:
        """Have the I/O thread call `begin` and wait until the future it is given is done.

        Raises what the future holds, and BrokerError if the connection is lost or `timeout` seconds pass first; with
        `drop_if_late` the connection is dropped then, because nobody knows what state the question has left it in.
        """
        answer: Future[T] = Future()
        with self._lock:
            self._waiting.add(answer)
        try:
            if not self.post(lambda: begin(answer)):
                raise self._error
            return answer.result(timeout)
        except TimeoutError:
            late = BrokerError(f"The broker did not answer within {timeout:.3g} s.{self._if_blocked()}")
            if drop_if_late:
                self.post(lambda: self.connection.abort(late))
            raise BrokerError(f"{what}: {late}") from None
        except AdaptorError as error:
            # The error that ended the connection answers every thread that waits, and each raises its own.
            raise type(error)(f"{what}: {error}") from error.__cause__
        finally:
            with self._lock:
                self._waiting.discard(answer)

    def close(self) -> None:
        """Close in good order, and after `CLOSE_TIMEOUT` without. What was posted before is sent before."""
        self.post(self._close)
        if not self.is_current_thread:
            self._thread.join(CLOSE_TIMEOUT)
            self.post(lambda: self.connection.abort(self._error))
            self._thread.join(CLOSE_TIMEOUT)

    def _close(self) -> None:
        if not (self.connection.is_closing or self.connection.is_closed):
            self.connection.close()

    def _if_blocked(self) -> str:
        return "" if self.unblocked.is_set() else " It has blocked publishers: look for a memory or disk alarm on it."

    def _run(self) -> None:
        try:
            self.connection.ioloop.start()
        except Exception as error:  # noqa: BLE001 - the thread must not die unnoticed, whatever killed it
            self._error = self._translate(error)
            self._drop_socket(error)
        finally:
            self._end()

    def _stop(self, error: BaseException) -> None:
        if not isinstance(error, pika.exceptions.ConnectionClosedByClient):
            self._error = self._translate(error)
        self.connection.ioloop.stop()

    def _drop_socket(self, error: Exception) -> None:
        """Run the loop once more, for as long as pika takes to close the socket that an exception left open."""
        self.connection.abort(error)
        self.connection.ioloop.call_later(1.0, self.connection.ioloop.stop)
        self.connection.ioloop.start()

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            waiting = list(self._waiting)
        self.unblocked.set()
        fail(self._opened, self._error)
        try:
            # First, so that a consumer whose start or end is being waited for is told by that answer alone.
            self.on_ended(self._error)
        finally:
            for answer in waiting:
                fail(answer, self._error)
            self.connection.ioloop.close()


def succeed(answer: Future[T], result: T) -> None:
    """Give the answer, unless it has been given."""
    if not answer.done():
        answer.set_result(result)


def fail(answer: Future[Any], error: Exception) -> None:
    """Fail the answer, unless it has been given."""
    if not answer.done():
        answer.set_exception(error)
