"""The client without async: for scripts, notebooks and programs of threads."""

import chappe

with chappe.blocking.connect("ws://127.0.0.1:8080/ws") as client, client.subscribe("jobs", since=0) as jobs:
    client.publish("jobs", {"number": 1})
    for publication in jobs:
        print(publication.data)
        break
