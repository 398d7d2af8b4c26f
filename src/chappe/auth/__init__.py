"""Who somebody is: tokens, keys, tickets, users; each module fulfils the Authenticator contract of `chappe.hub`.

May import `chappe.hub` and below; not transports, brokers or client, which stand beside it.
"""
