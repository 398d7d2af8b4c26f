"""The `chappe` command, one file for each subcommand.

May import everything but `chappe.testing`, which stands beside it; nothing imports it. `root` names the commands,
`grammar` gives them their looks, `texts` their words.
"""

from chappe.cli.root import main

__all__ = ["main"]
