"""The runner: consuming, pausing, reconnecting and stopping around the pipeline. Threads and clocks live here."""

import gc
import random
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

import structlog

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.caution import Caution
from adapter_sdk.collector import collector_of
from adapter_sdk.crashpoints import arm_from_environment, reach
from adapter_sdk.envelopes import Limits
from adapter_sdk.errors import AdaptorError, BackendUnavailable, BrokerError, ConfigError, LedgerError
from adapter_sdk.family import Family
from adapter_sdk.gatherer import Gatherer, gatherer_of
from adapter_sdk.gathering import gathering_faults
from adapter_sdk.ledger.base import Ledger
from adapter_sdk.ledger.sqlite import Ownership, sqlite_ledger
from adapter_sdk.line import Line, line_of
from adapter_sdk.outage import Outage
from adapter_sdk.pipeline import Pipeline, Settlement
from adapter_sdk.retention import Retention
from adapter_sdk.settings import Settings
from adapter_sdk.topology import dead_queue, plan, without
from adapter_sdk.transport.base import Delivery, QueueTaken, Transport
from adapter_sdk.waiting_room import WaitingRoom
from adapter_sdk.work import Work
from adapter_sdk.workers import Hands, Lanes, Workers

log = structlog.get_logger("adaptor")

ResultT = TypeVar("ResultT")

# Seconds: how often a standby looks whether the owner is gone, and how often left-behind messages are looked for.
_STANDBY_INTERVAL = 1.0
_SWEEP_INTERVAL = 30.0
# What the broker gave up is looked for when a session begins and with every so many sweeps: a look is a connection.
_SWEEPS_PER_LOOK = 10
# Seconds: the first and the longest pause after a failure of broker, ledger or backend.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
# Broker and ledger are tried more often: work goes on within 30 s of their return even if one try comes too soon.
_LONGEST_FOR_OUR_OWN = 10.0


class RunState(StrEnum):
    """What a runner is doing."""

    STARTING = "starting"
    STANDBY = "standby"
    """Another process owns the local ledger, or consumes in order; this one takes over when that one is gone."""
    CONSUMING = "consuming"
    PAUSED = "paused"
    """Broker, ledger or backend failed, and a new start is tried after a pause; or too many events are held."""
    STOPPING = "stopping"
    STOPPED = "stopped"


def ledger_of(adaptor: type[Adaptor], family: Family[Any], settings: Settings) -> Ledger:
    """The ledger of an adaptor, not yet open: inside its backend, in a database that processes share, or a file."""
    own = family.ledger()
    if own is not None:
        return own
    if settings.ledger.url is not None:
        from adapter_sdk.ledger.shared import SharedLedger

        return SharedLedger(settings.ledger.url.get_secret_value(), adaptor.name)
    return sqlite_ledger(settings.ledger_path(adaptor.name), adaptor.name)


class Runner:
    """Runs one adaptor until it is told to stop.

    A run is a series of sessions. A session opens ledger, backend and broker, consumes until something fails or `stop`
    is called, and gives back what is unsettled. Trouble ends the session and the next one begins after a pause that
    grows; a fault that no pause can mend (ConfigError) ends the run.
    """

    def __init__(self, adaptor: type[Adaptor], settings: Settings, transport: Transport) -> None:
        self.adaptor = adaptor()
        self.settings = settings
        self.transport = transport
        self.state = RunState.STARTING
        self.trouble: Exception | None = None
        """Why the runner is paused; None while it consumes."""
        self._family: Family[Any] = adaptor._family(settings.family)
        self._family.bind(self.adaptor)
        self.ledger: Ledger = ledger_of(adaptor, self._family, settings)
        local = self._family.ledger() is None and settings.ledger.url is None
        self._ownership = Ownership(settings.ledger_path(adaptor.name)) if local else None
        self._topology = plan(adaptor, settings)
        self._pipeline = self._make_pipeline()
        self._collector = collector_of(
            self._family, self.ledger, self._pipeline.outbox, transport.publish, settings, self._report
        )
        self._retention = Retention(adaptor.name, self.ledger, settings.ledger.retention_days)
        self._caution = Caution(adaptor.name, self.ledger, settings.broker.prefetch)
        self._outage = Outage(adaptor.name, settings.broker.exchange, transport)
        self._line: WaitingRoom | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._state_changed = threading.Condition()
        self._pause = _FIRST_PAUSE
        self._drained = True

    def _make_pipeline(self) -> Pipeline:
        settings = self.settings
        return Pipeline(
            self.adaptor,
            self._family,
            self.ledger,
            self.transport.publish,
            exchange=settings.broker.exchange,
            limits=Limits(max_bytes=settings.limits.max_bytes, max_depth=settings.limits.max_depth),
            retry=settings.retry.policy(),
            replies_required=settings.runner.replies == "required",
        )

    def run(self) -> None:
        """Run until `stop`. Raises ConfigError, with every fault known, if it cannot run as it is configured."""
        arm_from_environment()
        faults = [*self._family.check(), *gathering_faults(type(self.adaptor), self.settings.runner.max_held)]
        if faults:
            raise ConfigError(*faults)
        for warning in self._family.warnings():
            log.warning("dangerous setting", adaptor=self.adaptor.name, error=warning)
        try:
            while not self._stop.is_set() and self._own():
                try:
                    self._session()
                except QueueTaken:
                    self._enter(RunState.STANDBY)
                    self._stop.wait(_STANDBY_INTERVAL)
                except (BrokerError, LedgerError, BackendUnavailable) as trouble:
                    self._wait_out(trouble)
        finally:
            if self._drained:
                self._try_quietly(self._caution.end)
            self._family.close()
            self.ledger.close()
            if self._ownership:
                self._ownership.release()
            self._enter(RunState.STOPPED)

    def stop(self) -> None:
        """Ask the runner to finish what it works on, settle it, and return from `run`. Returns at once."""
        self._stop.set()
        self._wake.set()

    def wait_for(self, state: RunState, timeout: float) -> bool:
        """Wait until the runner is in `state`; False if it is not within `timeout` seconds."""
        with self._state_changed:
            return self._state_changed.wait_for(lambda: self.state is state, timeout)

    def _enter(self, state: RunState) -> None:
        with self._state_changed:
            if state is not self.state:
                log.info("adaptor state", adaptor=self.adaptor.name, state=str(state))
            self.state = state
            self._state_changed.notify_all()

    def _own(self) -> bool:
        """Become the one process that uses the local ledger; wait as standby as long as another is."""
        while self._ownership and not self._ownership.acquire():
            self._enter(RunState.STANDBY)
            if self._stop.wait(_STANDBY_INTERVAL):
                return False
        return True

    def _wait_out(self, trouble: AdaptorError) -> None:
        self.trouble = trouble
        self._enter(RunState.PAUSED)
        if isinstance(trouble, BackendUnavailable):
            self._outage.began(trouble)
            self._try_quietly(self.transport.close)
        if not isinstance(trouble, BrokerError):
            self._caution.first_one()
        longest = _LONGEST_PAUSE if isinstance(trouble, BackendUnavailable) else _LONGEST_FOR_OUR_OWN
        pause = min(self._pause, longest) * random.uniform(0.5, 1.0)  # many adaptors lose one broker at the same moment
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        facts = {"adaptor": self.adaptor.name, "why": type(trouble).__name__, "error": str(trouble)}
        log.warning("paused", again_in=round(pause, 2), **facts)
        self._stop.wait(pause)

    def _session(self) -> None:
        """Consume until something fails (raises it) or `stop` is called (returns)."""
        self._wake.clear()
        self.trouble = None
        self._family.open()
        self._family.probe()
        self.ledger.open()
        self._caution.begin()
        workers = None
        try:
            self._connect()
            self._pipeline.sweep()
            self._empty_the_net()
            workers = self._start_workers()
            self._leave_what_stays()
            self._start_consuming(workers)
            if self._line is not None:
                # What the ledger gave out the broker does not give again, whose redelivery would publish its replies.
                self._pipeline.sweep(alone=True)
            self._watch()
        finally:
            self._end_session(workers)
        if self.trouble is not None:
            raise self.trouble

    def _connect(self) -> None:
        self.transport.open()
        missing = self.transport.missing(self._topology)
        if self.settings.broker.declare:
            # A wrong setting must not leave queues of its own beside those that refuse it.
            self.transport.declare(without(self._topology, missing))
            self.transport.declare(self._topology)
        elif missing:
            raise ConfigError(
                f"{self.transport.name} lacks {', '.join(missing)}; create them with `adaptor topology apply`, "
                "or let the adaptor do it: [broker] declare = true"
            )

    def _leave_what_stays(self) -> None:
        """Have Python's garbage collector pass over what exists when work begins: it stays as long as the process.

        Once, because what later sessions leave behind is to be collected. With SQLAlchemy and the models of a WSDL in
        memory, looking through all of it took up to a third of the time of an event, and through each batch a tenth.
        """
        if not gc.get_freeze_count():
            gc.freeze()
            gc.set_threshold(10_000, *gc.get_threshold()[1:])  # a batch is so many objects, which go without its help

    def _start_workers(self) -> Hands:
        runner, name = self.settings.runner, self.adaptor.name
        batch_size = min(runner.batch_size, self._family.batch_limit)
        given = (self.adaptor, self.ledger, self.settings, self._report, self._wake.set)
        self._line = gatherer_of(*given) or line_of(*given)
        if not isinstance(self._line, Line):
            # What is gathered is written down in the order of its arrival, by one hand.
            return Workers(runner.concurrency if self._line is None else 1, batch_size, self._process, name)
        alone = self._caution.needed
        return Lanes(1 if alone else runner.concurrency, 1 if alone else batch_size, self._admit, self._work_on, name)

    def _start_consuming(self, workers: Hands) -> None:
        line = self._line
        # The queue is taken also where nothing is to come from it: only who has it may give out what waits in the
        # ledger. A line is never given less than `prefetch` otherwise, because what comes back would lose its order.
        nothing = line is not None and (line.full or (self._caution.probing and line.begun))
        self.transport.consume(
            self.adaptor.name,
            prefetch=0 if nothing else 1 if line is None and self._caution.needed else self.settings.broker.prefetch,
            on_deliveries=workers.put,
            on_lost=self._report,
            exclusive=self._ownership is not None,
            in_order=line is not None,
        )
        self._enter(RunState.PAUSED if nothing else RunState.CONSUMING)
        if isinstance(line, Gatherer):
            line.start(self._work_on_group)
        elif isinstance(line, Line):
            line.start(workers.put)
        self._collector.start()

    def _watch(self) -> None:
        # `stop` may have come before this session cleared `_wake`.
        sweeps = 0
        while not self._stop.is_set() and not self._wake.wait(_SWEEP_INTERVAL):
            sweeps += 1
            self._outage.ended()
            self._pipeline.sweep()
            if sweeps % _SWEEPS_PER_LOOK == 0:
                self._empty_the_net()
            # Not at the start of a session: what a dead process left unsettled comes back first, and must be known.
            self._retention.sweep(self._wake.wait)

    def _empty_the_net(self) -> None:
        """Take what the broker itself has given up into the ledger, where dead letters live."""
        try:
            taken = self.transport.take(dead_queue(self.adaptor.name), self._pipeline.take_in)
        except (BrokerError, ConfigError) as error:
            # The net is no reason not to work: where the broker itself is in trouble, consuming says so at once.
            log.warning("dead queue not looked into", adaptor=self.adaptor.name, error=str(error))
            return
        if taken:
            log.warning("taken from the broker's dead letters", adaptor=self.adaptor.name, count=taken)

    def _process(self, deliveries: list[Delivery]) -> None:
        """One batch, on a worker thread."""
        settlement = self._sheltered(lambda: self._pipeline.process(deliveries))
        if settlement is not None:
            self._settle(settlement)

    def _admit(self, deliveries: list[Delivery]) -> list[Work]:
        """The first half of `_process`, before ordered events are sorted into lanes."""
        works, done = self._sheltered(lambda: self._pipeline.admit(deliveries)) or ([], [])
        if done:
            self._settle(Settlement(ack=done))
        return works

    def _work_on(self, works: list[Work]) -> None:
        """The second half of `_process`, in a lane."""
        settlement = self._sheltered(lambda: self._pipeline.work_on(works))
        if settlement is not None:
            self._settle(settlement)

    def _work_on_group(self, deliveries: list[Delivery]) -> bool:
        """As `_process`, for events that the ledger gives out together. False if the session ends."""
        self._process(deliveries)
        return not self._wake.is_set()

    def _sheltered(self, step: Callable[[], ResultT]) -> ResultT | None:
        """The result of a step on a worker thread; None if it failed, which ends the session.

        And None if the session ends already: what has not begun goes back, or the ledger gives it out again.
        """
        if self._wake.is_set():
            return None
        structlog.contextvars.bind_contextvars(adaptor=self.adaptor.name)
        try:
            return step()
        except (BrokerError, LedgerError) as error:
            self._report(error)
        except ConfigError as error:
            # It was right when the session began, so something was taken away: the next one declares it, or says so.
            self._report(BrokerError("; ".join(error.faults)))
        except Exception as error:
            log.exception("a bug in the toolkit: nothing of this batch was settled", adaptor=self.adaptor.name)
            self._report(LedgerError(f"unexpected {type(error).__name__}: {error}"))
        return None

    def _settle(self, settlement: Settlement) -> None:
        reach("settling")
        self.transport.ack(settlement.ack)
        self.transport.release(settlement.release)
        reach("settled")
        if self._line is not None:
            settled = [*settlement.ack, *settlement.release]
            self._line.done(settled, held=settlement.held, progress=settlement.applied > 0)
        if settlement.unavailable is not None:
            self._report(settlement.unavailable)
            return
        if settlement.ack:
            self._pause = _FIRST_PAUSE
        probed = self._line is not None and self._caution.probing and bool(settlement.ack)
        if self._caution.settled(len(settlement.ack)) or probed:
            self._wake.set()  # the next session takes as many events as usual
        if settlement.applied:
            self._outage.ended()

    def _report(self, trouble: Exception) -> None:
        """Trouble ends the session. The first one is what the session raises."""
        if not isinstance(trouble, AdaptorError):
            log.error("a bug in the toolkit: the session ends", adaptor=self.adaptor.name, exc_info=trouble)
            trouble = LedgerError(f"unexpected {type(trouble).__name__}: {trouble}")
        if self.trouble is None:
            self.trouble = trouble
        self._wake.set()

    def _end_session(self, workers: Hands | None) -> None:
        """Order matters: no new deliveries, then running batches end and settle, then what is left goes back."""
        if self._stop.is_set():
            self._enter(RunState.STOPPING)
        elif self.state is not RunState.STANDBY:
            self._enter(RunState.PAUSED)
        timeout = self.settings.runner.drain_timeout
        deadline = time.monotonic() + timeout
        try:
            ended = self._line is None or self._line.stop(timeout)
            if workers is not None:
                if self._line is None:
                    # Ordered deliveries go back all at once, when the connection closes, and so in their order: what
                    # still arrives between a cancel and its answer would be rejected, and a quorum queue shuffles that.
                    self._try_quietly(self.transport.cancel)
                self._drained = workers.stop(max(0.0, deadline - time.monotonic())) and ended
                if self._drained:
                    self._try_quietly(self.ledger.disown)
                else:
                    log.error(
                        "handlers still running after drain_timeout; their events will be delivered again",
                        adaptor=self.adaptor.name,
                        seconds=timeout,
                    )
            self._collector.stop(max(0.0, deadline - time.monotonic()))
        finally:
            self._try_quietly(self.transport.close)

    def _try_quietly(self, step: Callable[[], None]) -> None:
        """On the way out of a broken connection its own errors say nothing new."""
        try:
            step()
        except (BrokerError, LedgerError) as error:
            log.debug("while ending the session", adaptor=self.adaptor.name, error=str(error))
