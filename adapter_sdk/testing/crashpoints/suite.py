"""The crash-point suite itself: one test per crash point and situation."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.crashpoints import POINTS
from adapter_sdk.testing.crashpoints.process import preload
from adapter_sdk.testing.crashpoints.promises import broken_promises
from adapter_sdk.testing.crashpoints.trial import BackendUnderTest, Crash, NotAsTold, Trial

_RETRY_POINTS = ("recorded", "published", "marked", "settling")
_DEAD_LETTER_POINTS = ("recorded", "settling")


class CrashPointSuite:
    """Subclass it, give `adaptor` and the fixtures `broker_url` and `backend`, and every crash point is tried.

    `points` are those to try, empty for all that its family passes. One that the adaptor never comes to fails its test;
    one that is not on your adaptor's way, such as a call that it does not make, stands in `unreached` with the reason
    and is skipped with it. `preload` names modules that the adaptor imports only when it runs, such as a database
    driver: they are imported once for all processes.
    """

    adaptor: ClassVar[type[Adaptor]]
    points: ClassVar[Collection[str]] = ()
    unreached: ClassVar[Mapping[str, str]] = {}
    preload: ClassVar[Collection[str]] = ()

    @pytest.fixture
    def broker_url(self) -> str:
        """The URL of a RabbitMQ, with a virtual host for tests."""
        raise NotImplementedError("a subclass gives the URL of a RabbitMQ")

    @pytest.fixture
    def backend(self) -> BackendUnderTest:
        """A backend with nothing done yet."""
        raise NotImplementedError("a subclass gives the backend")

    @pytest.fixture
    def trial(self, backend: BackendUnderTest, broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Trial:
        """The adaptor against this backend, in a folder of its own."""
        preload({name for suite in _suites(CrashPointSuite) for name in (suite.adaptor.__module__, *suite.preload)})
        return Trial(self.adaptor, backend, broker_url, Path(tmp_path_factory.mktemp("crash")))

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """One test per crash point on the adaptor's way; pytest calls this."""
        if "crash_point" in metafunc.fixturenames:
            metafunc.parametrize("crash_point", cls.points or _points_of(cls.adaptor))

    def test_a_crash_during_the_first_delivery_keeps_the_promise(self, trial: Trial, crash_point: str) -> None:
        """Killed here and started again, the adaptor has done what it promises for every event."""
        self._try(trial, Crash(crash_point))

    def test_a_crash_during_a_redelivery_keeps_the_promise(self, trial: Trial, crash_point: str) -> None:
        """The same when the process has died before, and dies here again and again while it makes good for it."""
        self._try(trial, Crash(crash_point, redelivered=True))

    @pytest.mark.parametrize("point", _RETRY_POINTS)
    def test_a_crash_around_a_planned_retry_keeps_the_promise(self, trial: Trial, point: str) -> None:
        """Killed while the copy for a later attempt is made, the event is neither lost nor multiplied."""
        self._try(trial, Crash(point, fails_first=True))

    @pytest.mark.parametrize("point", _DEAD_LETTER_POINTS)
    def test_a_crash_around_a_dead_letter_keeps_it(self, trial: Trial, point: str) -> None:
        """An event with data that no schema allows is a dead letter in the ledger, wherever the process dies."""
        self._try(trial, Crash(point, unreadable_data=True))

    def _try(self, trial: Trial, crash: Crash) -> None:
        if crash.point in self.unreached:
            pytest.skip(self.unreached[crash.point])
        try:
            broken = broken_promises(trial.run(crash), self.adaptor, trial.family)
        except NotAsTold as error:
            broken = [str(error)]
        if broken:  # the sentences say it all; a traceback would only lead into this suite
            pytest.fail("\n".join(broken), pytrace=False)


def _points_of(adaptor: type[Adaptor]) -> list[str]:
    """Every point of the pipeline, and those of the adaptor's family that are on its way."""
    return [point for point in POINTS if "." not in point or point in adaptor._crash_points()]


def _suites(suite: type[CrashPointSuite]) -> Iterator[type[CrashPointSuite]]:
    derived: Iterable[type[CrashPointSuite]] = suite.__subclasses__()
    for one in derived:
        if "adaptor" in vars(one):
            yield one
        yield from _suites(one)
