"""Real services for the tests, private to one run, on free ports of the loopback: brokers, databases, file servers.

Tests take them as fixtures (tests/conftest.py). A server dies with the run that started it, also when pytest is killed.
"""

from tests.services.ports import free_port
from tests.services.waiting import wait_until

__all__ = ["free_port", "wait_until"]
