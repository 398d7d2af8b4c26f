"""Sockets to listen on, and what is said when there are none to have."""

import pytest

from chappe.model.errors import ConfigurationError
from chappe.server.listening import listen


def test_port_0_takes_a_free_one() -> None:
    with listen("127.0.0.1", 0) as first, listen("127.0.0.1", 0) as second:
        assert first.getsockname()[1] != second.getsockname()[1] > 0


def test_a_port_in_use_is_one_line_that_says_what_to_do() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} is in use; .* --port"):
            listen("127.0.0.1", port)
        with pytest.raises(ConfigurationError, match=rf"port {port} is in use; .* --mqtt-port"):
            listen("127.0.0.1", port, option="--mqtt-port")


@pytest.mark.parametrize("port", [-1, 65_536, 1_000_000])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(ConfigurationError, match="out of range, expected 0 to 65535"):
        listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_a_host_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"expected an address|no address of this machine"):
        listen(host, 0)
