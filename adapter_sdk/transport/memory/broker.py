"""The embedded broker itself: one lock around queues, routing and connections."""

import copy
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from adapter_sdk.errors import BrokerError, ConfigError
from adapter_sdk.transport.base import Binding, Confirm, Delivery, Keep, Message, Queue, QueueTaken, Topology
from adapter_sdk.transport.checks import declared_otherwise
from adapter_sdk.transport.memory.deadletters import is_cycle, with_death
from adapter_sdk.transport.memory.queues import Entry, MemoryQueue
from adapter_sdk.transport.memory.routing import RoutingTable
from adapter_sdk.transport.memory.sessions import Consumer, Held, Session

_shared: dict[str, "MemoryBroker"] = {}
_shared_lock = threading.Lock()


def shared_broker(name: str) -> "MemoryBroker":
    """The broker behind `memory://name`: made at first use, shared by the whole process, gone with it."""
    with _shared_lock:
        return _shared.setdefault(name, MemoryBroker(name))


class MemoryBroker:
    """A message broker in this process; all state belongs to the instance, and every method is thread-safe.

    Time is real unless `clock` is given, a function that returns seconds: then nothing expires by itself, and whoever
    moves the clock calls `tick`. For tests of failures there are `drop_connections`, `refuse_connections`,
    `nack_next` and `delete_queue`. Applications reach it through `MemoryTransport`.
    """

    def __init__(self, name: str = "", *, clock: Callable[[], float] | None = None) -> None:
        self.name = name
        self._now = clock or time.monotonic
        self._real_time = clock is None
        self._timer: threading.Timer | None = None
        self._timer_due = float("inf")
        self._lock = threading.RLock()
        self._queues: dict[str, MemoryQueue] = {}
        self._routing = RoutingTable()
        self._sessions: list[Session] = []
        self._nacks_due = 0
        self._refusing = False

    def drop_connections(self) -> None:
        """Cut every connection: each consumer is lost, each unsettled message returns to its queue."""
        with self._lock:
            for session in list(self._sessions):
                self.disconnect(session, BrokerError("The memory broker dropped the connection."))

    def refuse_connections(self, refuse: bool) -> None:
        """From now on refuse new connections, or accept them again. Open ones stay."""
        with self._lock:
            self._refusing = refuse

    def nack_next(self, count: int) -> None:
        """Answer the next `count` published messages with `Confirm.NACKED` and keep none of them."""
        with self._lock:
            self._nacks_due = count

    def delete_queue(self, name: str) -> None:
        """Delete a queue with all it holds; its consumers are cancelled, which they learn through `on_lost`."""
        with self._lock:
            queue = self._queue(name)
            del self._queues[name]
            self._routing.unbind_queue(name)
            for session in self._sessions:
                session.held = {held for held in session.held if held.queue is not queue}
                if session.consumer and session.consumer.queue is queue:
                    session.consumer.end(BrokerError(f"The broker cancelled the consumer of queue {name!r}."))
                    session.consumer = None

    def tick(self) -> None:
        """Do what time has made due: expire, dead-letter, end rests. With real time this happens by itself."""
        with self._lock:
            self._timer, self._timer_due = None, float("inf")
            for queue in list(self._queues.values()):
                self._serve(queue)

    def declare(self, topology: Topology) -> None:
        """Create what is missing; raises ConfigError with a fault for each thing that exists otherwise."""
        with self._lock:
            self._check_accepting()
            steps = [
                *(partial(self._routing.declare, exchange) for exchange in topology.exchanges),
                *(partial(self._declare_queue, queue) for queue in topology.queues),
                *(partial(self._bind, binding) for binding in topology.bindings),
            ]
            faults: list[str] = []
            for step in steps:
                try:
                    step()
                except ConfigError as error:
                    faults.extend(error.faults)
            if faults:
                raise ConfigError(*faults)

    def missing(self, topology: Topology) -> list[str]:
        """Names of the exchanges and queues that do not exist."""
        with self._lock:
            self._check_accepting()
            exchanges = [exchange.name for exchange in topology.exchanges if exchange.name not in self._routing]
            return exchanges + [queue.name for queue in topology.queues if queue.name not in self._queues]

    def depth(self, queue: str) -> int:
        """Messages ready in `queue`, those that rest after a return included."""
        with self._lock:
            self._check_accepting()
            return len(self._queue(queue))

    def take(self, queue: str, keep: Keep, limit: int) -> int:
        """Forget what `keep` keeps; the rest is in its old place again afterwards."""
        taken: list[Entry] = []
        with self._lock:
            self._check_accepting()
            source = self._queue(queue)
            while source.has_ready and len(taken) < limit:
                taken.append(source.take())
        left = list(taken)
        try:
            for entry in taken:
                if keep(entry.message):
                    left.remove(entry)
        finally:
            with self._lock:
                for entry in left:
                    source.undo_take(entry)
                self._serve(source)
        return len(taken) - len(left)

    def connect(self) -> Session:
        """A new connection. Raises BrokerError while connections are refused."""
        with self._lock:
            self._check_accepting()
            session = Session()
            self._sessions.append(session)
            return session

    def disconnect(self, session: Session, lost: Exception | None = None) -> Consumer | None:
        """End a connection, and its consumer, which is returned; what it holds goes back. `lost` goes to `on_lost`."""
        with self._lock:
            if not session.alive:
                return None
            session.alive = False
            self._sessions.remove(session)
            consumer = self.end_consumer(session, lost)
            for held in session.held:
                self._give_back(held, rest=False)
            session.held = set()
            for queue in self._queues.values():
                if queue.owner is session:
                    queue.owner = None
            return consumer

    def add_consumer(self, consumer: Consumer) -> None:
        """Start to serve `consumer`. Raises ConfigError without such a queue, BrokerError if it is taken."""
        with self._lock:
            self.check_alive(consumer.session)
            queue = consumer.queue
            if queue.owner not in (None, consumer.session) or (consumer.exclusive and queue.consumers):
                raise QueueTaken(f"Another transport consumes queue {queue.name!r}; it cannot be had exclusively.")
            if consumer.exclusive:
                queue.owner = consumer.session
            consumer.session.consumer = consumer
            queue.consumers.append(consumer)
            consumer.start(self._lock, self.disconnect)
            self._serve(queue)

    def end_consumer(self, session: Session, lost: Exception | None = None) -> Consumer | None:
        """Stop the consumer of `session`, if any; what its thread has not handed over goes back, uncounted."""
        with self._lock:
            consumer = session.consumer
            if consumer is None:
                return None
            session.consumer = None
            consumer.queue.consumers.remove(consumer)
            for held in consumer.end(lost):
                session.held.discard(held)
                held.queue.undo_take(held.entry)
            self._serve(consumer.queue)
            return consumer

    def settle(self, session: Session, deliveries: Sequence[Delivery], *, again: bool) -> None:
        """Forget the deliveries, or with `again` give their messages out again; what `session` does not hold, skip."""
        with self._lock:
            touched = set()
            for delivery in deliveries:
                held = delivery.receipt
                if not isinstance(held, Held) or held not in session.held:
                    continue
                session.held.remove(held)
                held.consumer.unsettled -= 1
                touched.add(held.queue)
                if again:
                    self._give_back(held, rest=True)
            for queue in touched:
                self._serve(queue)

    def publish(self, session: Session, message: Message) -> Confirm:
        """Route one message. Raises ConfigError if its exchange does not exist."""
        with self._lock:
            self.check_alive(session)
            if self._nacks_due:
                self._nacks_due -= 1
                return Confirm.NACKED
            targets = self._targets(message.exchange, message.routing_key)
            if not targets:
                return Confirm.RETURNED
            accepting = [queue for queue in targets if not (queue.rules.reject_publish and queue.full)]
            for queue in accepting:
                self._put(queue, message)
            return Confirm.CONFIRMED if len(accepting) == len(targets) else Confirm.NACKED

    def queue(self, name: str) -> MemoryQueue:
        """The queue of that name. Raises ConfigError if there is none."""
        with self._lock:
            return self._queue(name)

    def check_alive(self, session: Session) -> None:
        """Raise BrokerError if the connection is gone."""
        if not session.alive:
            raise BrokerError("The connection to the memory broker is gone; open it again.")

    def _check_accepting(self) -> None:
        if self._refusing:
            raise BrokerError(f"The memory broker {self.name!r} refuses connections.")

    def _queue(self, name: str) -> MemoryQueue:
        if name not in self._queues:
            raise ConfigError(f"There is no queue {name!r} on the memory broker; declare it first.")
        return self._queues[name]

    def _declare_queue(self, queue: Queue) -> None:
        existing = self._queues.get(queue.name)
        if existing is None:
            self._queues[queue.name] = MemoryQueue(queue.name, queue.arguments)
            return
        for argument in sorted(existing.arguments.keys() | queue.arguments.keys()):
            wanted, actual = queue.arguments.get(argument), existing.arguments.get(argument)
            if wanted != actual:
                raise ConfigError(declared_otherwise("Queue", queue.name, argument, wanted, actual))

    def _bind(self, binding: Binding) -> None:
        self._queue(binding.queue)
        self._routing.bind(binding)

    def _targets(self, exchange: str, routing_key: str) -> list[MemoryQueue]:
        names = self._routing.route(exchange, routing_key)
        return [self._queues[name] for name in names if name in self._queues]

    def _put(self, queue: MemoryQueue, message: Message) -> None:
        # A copy per queue, because a consumer that changes its headers must not change them for the others.
        queue.put(replace(message, headers=copy.deepcopy(dict(message.headers))), self._now())
        self._serve(queue)
        while queue.rules.max_length is not None and len(queue) > queue.rules.max_length and queue.has_ready:
            self._dead_letter(queue, queue.take(), "maxlen")

    def _give_back(self, held: Held, *, rest: bool) -> None:
        if not held.queue.give_back(held.entry, self._now(), rest=rest):
            self._dead_letter(held.queue, held.entry, "delivery_limit")
        self._serve(held.queue)

    def _serve(self, queue: MemoryQueue) -> None:
        """Move what can move: end rests, expire, and offer what is ready to the consumers in turn."""
        now = self._now()
        queue.wake(now)
        for entry in queue.expired(now):
            self._dead_letter(queue, entry, "expired")
        while queue.has_ready and (consumer := _next_with_credit(queue)):
            consumer.session.held.add(consumer.offer(queue.take()))
        due = queue.next_due()
        if due is not None and self._real_time and due < self._timer_due:
            self._set_timer(due)

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = threading.Timer(max(due - self._now(), 0), self.tick)
        self._timer.daemon = True
        self._timer.start()

    def _dead_letter(self, queue: MemoryQueue, entry: Entry, reason: str) -> None:
        """Send on what `queue` gives up; dropped, as RabbitMQ does, when there is nowhere to send it."""
        exchange = queue.rules.dead_letter_exchange
        if exchange is None or exchange not in self._routing:
            return
        message = with_death(entry.message, queue.name, reason)
        routing_key = queue.rules.dead_letter_routing_key or message.routing_key
        message = replace(message, exchange=exchange, routing_key=routing_key)
        for target in self._targets(exchange, routing_key):
            if not is_cycle(message, target.name) and not (target.rules.reject_publish and target.full):
                self._put(target, message)


def _next_with_credit(queue: MemoryQueue) -> Consumer | None:
    for at, consumer in enumerate(queue.consumers):
        if consumer.has_credit:
            queue.consumers.append(queue.consumers.pop(at))
            return consumer
    return None
