"""Sessions that are kept for the next batch: a login takes longer than a drop."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from adaptors.files.targets.session import Session

_FRESH = 10.0  # seconds for which a session that has just been used is taken to be alive


class SessionPool:
    """As many sessions as threads use at once. One that stood idle is asked for an answer before it is used."""

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._idle: list[tuple[Session, float]] = []
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[Session]:
        """A session for one batch; a broken one is not kept. Raises what connecting raises."""
        session = self._take()
        try:
            yield session
        except BaseException:
            # An answer that was not waited for would be read as that of the next question.
            session.broken = True
            raise
        finally:
            if session.broken:
                session.close()
            else:
                with self._lock:
                    self._idle.append((session, time.monotonic()))

    def close(self) -> None:
        """Close the sessions that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for session, _ in idle:
            session.close()

    def _take(self) -> Session:
        while True:
            with self._lock:
                if not self._idle:
                    break
                session, used = self._idle.pop()
            if time.monotonic() - used < _FRESH:
                return session
            try:
                session.ask()
            except OSError:
                session.close()
            else:
                return session
        return self._connect()
