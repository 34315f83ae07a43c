"""The table of the sql jobs and the one statement that everyone executes."""

from typing import Any

from sqlalchemy import text

from tests.benchmarks.workload import Order

TABLE = """
CREATE TABLE reservation (
  order_id VARCHAR(40) PRIMARY KEY,
  customer VARCHAR(60) NOT NULL,
  total NUMERIC(12, 2) NOT NULL,
  sku VARCHAR(20) NOT NULL,
  quantity INTEGER NOT NULL,
  note TEXT NOT NULL
)
"""
INSERT = text(
    "INSERT INTO reservation (order_id, customer, total, sku, quantity, note) "
    "VALUES (:order_id, :customer, :total, :sku, :quantity, :note)"
)
COUNT = text("SELECT COUNT(*) FROM reservation")


def row_of(order: Order) -> dict[str, Any]:
    """The parameters of `INSERT`."""
    first = order.lines[0]
    return {
        "order_id": order.order_id,
        "customer": order.customer,
        "total": str(order.total),
        "sku": first.sku,
        "quantity": first.quantity,
        "note": order.note,
    }
