"""The embedded durable broker: one SQLite file."""

from chappe.brokers.sqlite.broker import SqliteBroker

__all__ = ["SqliteBroker"]
