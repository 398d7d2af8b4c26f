"""The peer `picows`: `python picows_server.py PORT`."""

import sys
from collections import defaultdict

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

groups: defaultdict[bytes, set[WSTransport]] = defaultdict(set)


class Peer(WSListener):  # type: ignore[misc, unused-ignore]  # an extension class
    """Serve one connection."""

    def __init__(self, path: bytes) -> None:
        super().__init__()
        self._group = None if path == b"/echo" else groups[path]

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Join the group of the path."""
        if self._group is not None:
            self._group.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Leave the group."""
        if self._group is not None:
            self._group.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Echo or broadcast."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        payload = frame.get_payload_as_bytes()
        if self._group is None:
            transport.send(frame.msg_type, payload)
            return
        for member in self._group:
            member.send(WSMsgType.TEXT, payload)


def listen(request: WSUpgradeRequest) -> Peer:
    """Choose by path what a connection does."""
    return Peer(request.path)


async def main() -> None:
    """Serve for ever."""
    server = await ws_create_server(listen, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
