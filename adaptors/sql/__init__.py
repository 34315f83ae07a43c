"""The sql family: a legacy system whose only door is its database. One transaction holds effect and record."""

from adaptors.sql.adaptor import SqlAdaptor
from adaptors.sql.connection import Connection
from adaptors.sql.procedures import Called, Out
from adaptors.sql.settings import SqlSettings

__all__ = ["Called", "Connection", "Out", "SqlAdaptor", "SqlSettings"]
