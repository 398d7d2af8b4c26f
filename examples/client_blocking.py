"""The same client in a program without async.

python examples/client_blocking.py [ws://127.0.0.1:8080/ws]
"""

import sys

import chappe


def main(url: str = "ws://127.0.0.1:8080/ws") -> None:
    """Publish from one place, read from another, wait no longer than wanted."""
    with chappe.blocking.connect(url) as client, client.subscribe("jobs") as jobs:
        client.publish("jobs", {"job": 1})
        job = jobs.receive(timeout_s=5)
        print(job.data if job else "nothing to do", flush=True)


main(*sys.argv[1:])
