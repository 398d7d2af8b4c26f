"""Follow a channel through cuts and restarts, and notice what could not be recovered.

python examples/client_survives.py [ws://127.0.0.1:8080/ws]
"""

import asyncio
import sys

import chappe
from chappe.client import Missed, Publication, Resubscribed


async def main(url: str = "ws://127.0.0.1:8080/ws") -> None:
    """Print what comes, and what happens to the connection."""
    client = chappe.connect(url, reconnect_interval_ms=200, reconnect_max_ms=2_000, max_attempts=20)
    client.on("disconnected", lambda code: print("disconnected", code, flush=True))
    client.on("reconnecting", lambda n, of: print(f"attempt {n} of {of}", flush=True))
    client.on("connected", lambda: print("connected", flush=True))
    async with client, client.subscribe("news", since=10) as news:
        async for item in news.items():
            match item:
                case Publication():
                    print(item.offset, item.data, flush=True)
                case Resubscribed(recovered=True):
                    print("nothing was missed", flush=True)
                case Resubscribed():
                    # Load the state from where it is kept: the database, or the history as far as it goes.
                    print("publications may be missing, loading the state", flush=True)
                case Missed():
                    print(f"{item.count} were dropped: this reader is too slow", flush=True)


asyncio.run(main(*sys.argv[1:]))
