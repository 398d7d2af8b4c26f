"""The `chappe` command, one file for each subcommand.

May import everything but `chappe.testing`, which stands beside it; nothing imports it.
"""
