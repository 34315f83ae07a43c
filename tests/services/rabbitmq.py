"""RabbitMQ for the tests: one private node a run, a virtual host a worker, and nodes that a test may break."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit

from tests.services.missing import Missing
from tests.services.ports import free_ports
from tests.services.run import Run
from tests.services.supervised import StartFailed, Supervised, start_on_free_ports
from tests.services.waiting import wait_until

# Debian's /usr/sbin/rabbitmq-server is a wrapper that changes to the user rabbitmq and refuses all but root.
_DEBIAN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# Where RabbitMQ 3.10 keeps the names of durable queues (Mnesia), and of the members of quorum queues (Ra).
_QUEUE_TABLE = ("LATEST.LOG", "PREVIOUS.LOG", "rabbit_durable_queue.DC?")
_QUORUM_NAMES = "names.dets"

# What raises an alarm on a node, and what ends it: each a command and its arguments.
_LIMITS = {
    "memory": ("set_vm_memory_high_watermark", ("0.00001",), ("0.6",)),
    "disk": ("set_disk_free_limit", ("900000GB",), ("1MB",)),
}

_CONFIGURATION = """\
default_user = {user}
default_pass = {password}
listeners.tcp.default = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
disk_free_limit.absolute = 1MB
# Connections are listed when the next sample is taken: after 1 s, where 5 s are usual.
management.sample_retention_policies.global.minute = 1
management.sample_retention_policies.basic.minute = 1
management.sample_retention_policies.detailed.minute = 1
log.console = true
log.console.level = warning
log.file = false
"""


def find() -> Path:
    """The server's start script. Raises Missing."""
    found = _DEBIAN if _DEBIAN.exists() else shutil.which("rabbitmq-server")
    if not found or not shutil.which("erl"):
        raise Missing("RabbitMQ", "rabbitmq-server", "TEST_AMQP_URL")
    return Path(found)


@dataclass(frozen=True, slots=True)
class Broker:
    """One virtual host of a RabbitMQ. `management_url` has no user in it: that and the password stand beside it."""

    url: str
    management_url: str
    user: str
    password: str
    vhost: str = "/"

    def api(self, method: str, path: str, body: Any = None, *, reason: str = "", timeout: float = 10.0) -> Any:
        """One request to the management API, answered by the decoded JSON, or None. Raises URLError."""
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.management_url}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {token}", "Content-Type": "application/json", "X-Reason": reason},
        )
        with _NO_PROXY.open(request, timeout=timeout) as response:
            content = response.read()
        return json.loads(content) if content else None

    def new_vhost(self, name: str) -> "Broker":
        """An empty virtual host on the same node; `name` is made unique. About 10 ms."""
        vhost = f"test-{name}-{secrets.token_hex(4)}"
        self.api("PUT", f"vhosts/{vhost}", {})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.api("PUT", f"permissions/{vhost}/{quote(self.user, safe='')}", everything)
        url = urlsplit(self.url)._replace(path=f"/{vhost}").geturl()
        return Broker(url, self.management_url, self.user, self.password, vhost)

    def delete_vhost(self) -> None:
        """Removes the virtual host with all that is in it; the broker closes its connections."""
        self.api("DELETE", f"vhosts/{quote(self.vhost, safe='')}")

    def close_connections(self, reason: str = "closed by a test") -> int:
        """Closes every client connection of this virtual host as an operator would, and returns how many.

        The broker lists a connection about 1 s after it is open: `wait_until(broker.close_connections)`.
        """
        connections = self.api("GET", f"vhosts/{quote(self.vhost, safe='')}/connections")
        return sum(self._close(connection["name"], reason) for connection in connections)

    def _close(self, connection: str, reason: str) -> bool:
        try:
            self.api("DELETE", f"connections/{quote(connection, safe='')}", reason=reason)
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return False  # it went by itself between the listing and now
        return True


class Node:
    """A private RabbitMQ node; `broker` is the virtual host to use. Starting takes 3 to 9 seconds."""

    def __init__(self, run: Run, name: str, *, watch: int | None = None) -> None:
        self._amqp_port, management, self._distribution = free_ports(3)
        user, password = "tester", secrets.token_hex(8)
        url = f"amqp://{user}:{password}@127.0.0.1:{self._amqp_port}/%2F"
        self._default = self.broker = Broker(url, f"http://127.0.0.1:{management}", user, password)
        self._server = Supervised("rabbitmq", run.log(name), watch=watch)
        self._launch(management)
        self._wait_ready()

    def kill(self) -> None:
        """Kills the node as a power failure would, once the queues of `broker` are on disk: that takes up to 1 s.

        RabbitMQ 3.10 confirms a message before the declaration of its queue is safe, and forgets both when killed then.
        """
        wait_until(self._queues_on_disk)
        self._server.tell("kill")

    def start(self) -> None:
        """Starts a killed node again on its data and ports, and waits until it is ready."""
        self._server.tell("start")
        self._wait_ready()

    def restart(self) -> None:
        """Stops the node in good order and starts it again: 6 to 10 seconds."""
        self._server.tell("stop")
        self.start()

    def control(self, *command: str) -> None:
        """Gives one command of `rabbitmqctl` to the running node: about half a second."""
        tool = find().with_name("rabbitmqctl")
        # The tool's own node is given the port of ours: there is no port mapper to ask.
        no_mapper = f"-dist_listen false -start_epmd false -erl_epmd_port {self._distribution}"
        environment = {**_environment(self._server.directory, self._distribution), "RABBITMQ_CTL_ERL_ARGS": no_mapper}
        subprocess.run([str(tool), *command], env=environment, check=True, capture_output=True, timeout=60)

    @contextmanager
    def alarm(self, resource: str) -> Iterator[None]:
        """The node is out of "memory" or "disk", and says so to its clients, until the block ends."""
        command, ever, never = _LIMITS[resource]
        self.control(command, *ever)
        try:
            yield
        finally:
            self.control(command, *never)

    def renew(self) -> None:
        """Starts the node if a test has left it down, and makes `broker` an empty virtual host."""
        if not self._listens():
            self.start()
        self.broker = self._default.new_vhost("own")

    def end(self) -> None:
        """Ends the node and forgets its data."""
        self._server.end()

    def _wait_ready(self) -> None:
        self._server.wait_ready(self._listens, failure="BOOT FAILED")

    def _queues_on_disk(self) -> bool:
        queues = self.broker.api("GET", f"queues/{quote(self.broker.vhost, safe='')}")
        return all(
            self._on_disk(queue["name"], *_QUEUE_TABLE)
            and (queue["type"] != "quorum" or self._on_disk(queue["name"], _QUORUM_NAMES))
            for queue in queues
            if queue["durable"]
        )

    def _on_disk(self, queue: str, *files: str) -> bool:
        data = self._server.directory / "data"
        try:
            present = [path for file in files for path in data.rglob(file)]
            # A version that has none of these files keeps the names elsewhere; whether safely was not tried.
            return not present or any(queue.encode() in path.read_bytes() for path in present)
        except FileNotFoundError:  # the node took away a file or a folder while this looked
            return False

    def _listens(self) -> bool:
        # The port accepts connections before the broker serves them, so connecting to it proves nothing.
        try:
            self.broker.api("GET", f"health/checks/port-listener/{self._amqp_port}", timeout=2)
        except (URLError, OSError):
            return False
        return True

    def _launch(self, management: int) -> None:
        folder = self._server.directory
        (folder / "empty.conf").touch()
        (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (folder / "rabbitmq.conf").write_text(
            _CONFIGURATION.format(
                user=self.broker.user,
                password=self.broker.password,
                amqp=self._amqp_port,
                management=management,
            )
        )
        self._server.start([str(find())], environment=_environment(folder, self._distribution))


def _environment(folder: Path, distribution: int) -> dict[str, str]:
    """All that keeps this node apart from an installed one, and from the Erlang port mapper (epmd).

    A node that registers with epmd starts one, and it outlives the test run. So the node is given its name and its one
    distribution port directly.
    """
    name = f"{folder.name}@localhost"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
    interface = "-kernel inet_dist_use_interface {127,0,0,1}"
    ports = f"-kernel inet_dist_listen_min {distribution} -kernel inet_dist_listen_max {distribution}"
    no_mapper = f"-start_epmd false -erl_epmd_port {distribution}"
    return environment | {
        "HOME": str(folder),  # the Erlang cookie is made there
        "LC_ALL": "C.UTF-8",
        "ERL_CRASH_DUMP_SECONDS": "0",
        "RABBITMQ_NODENAME": name,
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "empty.conf"),  # else the machine's own settings leak in
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-sname {name} {no_mapper} {ports} {interface}",
    }


_kept: list[Node] = []
"""Keeps the run's node referenced until this process ends: its supervisor ends it with the run."""


def shared_broker(run: Run) -> Broker:
    """The run's broker: TEST_AMQP_URL, or a private node that all workers share. Raises Missing."""
    given = os.environ.get("TEST_AMQP_URL")
    if given:
        return _given_broker(given)

    def start() -> dict[str, str]:
        node = start_on_free_ports(lambda: Node(run, "rabbitmq", watch=run.controller))
        _kept.append(node)
        broker = node.broker
        return {key: getattr(broker, key) for key in ("url", "management_url", "user", "password")}

    find()
    return Broker(**run.once("rabbitmq", start))


def _given_broker(url: str) -> Broker:
    parts = urlsplit(url)
    management = os.environ.get("TEST_MANAGEMENT_URL") or f"http://{parts.hostname}:15672"
    user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
    broker = Broker(url, management.rstrip("/"), user, password)
    try:
        broker.api("GET", "whoami")
    except (URLError, OSError) as error:
        raise StartFailed(
            f"TEST_AMQP_URL is set, and its management API does not answer at {management} ({error}): the tests make "
            "their own virtual hosts through it. Enable rabbitmq_management there, or set TEST_MANAGEMENT_URL."
        ) from error
    return broker
