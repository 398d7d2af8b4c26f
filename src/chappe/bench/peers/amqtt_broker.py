"""The peer `amqtt`: `python amqtt_broker.py PORT`, run by the Python of its own environment."""

import asyncio
import logging
import sys

from amqtt.broker import Broker  # type: ignore[import-not-found, unused-ignore]


async def serve(port: int) -> None:
    """Serve for ever: anybody may do anything, and nothing is counted."""
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}", "max_connections": 0}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    await Broker(config).start()
    await asyncio.Event().wait()


def main() -> None:
    """Serve for ever."""
    logging.disable(logging.CRITICAL)
    asyncio.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
