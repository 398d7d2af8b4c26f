"""The domain: sessions, channels, fan-out, history, recovery, presence, locks, permissions, limits, hooks.

It owns the contracts that the edge fulfils (Broker, Authenticator, Link, Audience, Clock).
May import `chappe.protocols`, `chappe.wire` and `chappe.model`. No I/O, no await, no clock, no randomness.
"""
