"""MQTT 3.1.1 and 5.0 (OASIS standards): packets, sessions and their rules, without I/O.

May import model and protocols.base.
"""
