"""The public test kit: `running_hub`, `check_broker`, `FaultyBroker`, the offline checker, the fault proxy.

May import everything but `chappe.cli`, which stands beside it; nothing outside tests imports it.
"""
