"""A line between adaptors and broker that can be cut, or go dead without a word."""

import asyncio
import math
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 seconds: closing sends RST instead of FIN
_DEAD_FOR = 30.0  # seconds until a dead line is given up here; both ends should have noticed long before


class Line:
    """One client's connection through the proxy."""

    def __init__(self, *ends: asyncio.StreamWriter) -> None:
        self._ends = ends
        self.alive = True
        self.over = asyncio.Event()

    def reset(self) -> None:
        """Both ends see "connection reset by peer"."""
        self.over.set()
        for end in self._ends:
            opened = end.get_extra_info("socket")
            if opened is not None:
                with suppress(OSError):
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()


class Proxy:
    """Forwards a port of its own to `target` on the loopback, in a thread of its own, until `close`.

    Each connection is reset once the target has answered `most` bytes; `answered` counts those of all connections.
    """

    def __init__(self, target: int, most: float = math.inf) -> None:
        self._target = target
        self._most = most
        self.answered = 0
        self._lines: set[Line] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.port = self._call(self._listen())

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        return self._call(self._cut())

    def go_dead(self) -> int:
        """Nothing passes any more on the connections that are there, and nobody is told. New ones work."""
        return self._call(self._go_dead())

    def close(self) -> None:
        """Cut everything and end."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def _call(self, work: Any) -> int:
        done: Future[int] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(60)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        line = Line(writer, far_writer)
        self._lines.add(line)
        try:
            await asyncio.gather(_pump(reader, far_writer, line), _pump(far_reader, writer, line, self._let_pass()))
        finally:
            self._lines.discard(line)
            line.reset()

    def _let_pass(self) -> Callable[[bytes], bytes]:
        """What of the answers on one connection passes: all of it, or what is left to its end."""
        left = self._most

        def passes(data: bytes) -> bytes:
            nonlocal left
            data = data[: int(min(left, len(data)))]
            left -= len(data)
            self.answered += len(data)
            return data

        return passes

    async def _cut(self) -> int:
        lines = list(self._lines)
        for line in lines:
            line.reset()
        return len(lines)

    async def _end(self) -> int:
        self._server.close()
        cut = await self._cut()
        while self._lines:
            await asyncio.sleep(0.01)
        return cut

    async def _go_dead(self) -> int:
        lines = [line for line in self._lines if line.alive]
        for line in lines:
            line.alive = False
            self._loop.call_later(_DEAD_FOR, line.reset)
        return len(lines)


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    line: Line,
    passes: Callable[[bytes], bytes] = lambda data: data,
) -> None:
    """Bytes from one end to the other. The end of one direction is the end of the line, unless the line is dead."""
    with suppress(OSError):
        while True:
            data = await reader.read(65_536)
            if not line.alive:
                await line.over.wait()
                break
            if not data:
                break
            passed = passes(data)
            writer.write(passed)
            await writer.drain()
            if len(passed) < len(data):
                line.reset()
                break
    writer.close()
