"""What clients and hub say to each other, without I/O: one folder for each protocol, their common contract in `base`.

A protocol turns payloads into commands and messages into payloads; it knows no socket and no hub.
May import `chappe.model`. No I/O, no await, no clock, no randomness.
"""
