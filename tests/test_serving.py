"""The public `Server` (its life over real sockets: test_app.py)."""

import pytest

import chappe
from chappe.model.errors import LocalProtocolError


async def test_the_url_says_scheme_host_and_port() -> None:
    server = chappe.Server(chappe.Hub(dev=True), port=0)
    await server.start()
    try:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert server.port > 0
        with pytest.raises(LocalProtocolError, match="runs already"):
            await server.start()
    finally:
        await server.stop()
    assert chappe.Server(chappe.Hub(dev=True), host="::1", port=7).url == "http://[::1]:7"
