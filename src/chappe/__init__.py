"""Chappe: a realtime hub for Python."""
