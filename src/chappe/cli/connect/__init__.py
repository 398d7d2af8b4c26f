"""`chappe connect`, in parts.

- command: options, exit codes
- dialogue: the conversation over one connection after the other; lifeline below, talk in the middle, view above
- talk: lines and frames, raw or as chat in a channel; slash: what a typed line asks for; happenings: what can happen
- views, terminal, status: showing it; pipe, stdin: without a terminal
"""

from chappe.cli.connect.command import command

__all__ = ["command"]
