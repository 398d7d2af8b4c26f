"""URLs and files of an outside broker."""

from pathlib import Path

import pytest

from chappe.bridges.mqtt.address import Address, parse, read_password
from chappe.model.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "peer", "topic"),
    [
        ("mqtt://h", "mqtt://h:1883", ""),
        ("mqtts://h:8884/a/+/b", "mqtts://h:8884", "a/+/b"),
        ("mqtt://h/maison/#", "mqtt://h:1883", "maison/#"),
        ("mqtt://h//a", "mqtt://h:1883", "/a"),
        ("mqtt://[::1]/a%20b", "mqtt://[::1]:1883", "a b"),
        ("mqtt+wss://h", "mqtt+wss://h:443/mqtt", ""),
        ("ws://h:9001/", "mqtt+ws://h:9001/", ""),
    ],
)
def test_a_url_names_a_broker_and_a_topic(url: str, peer: str, topic: str) -> None:
    address, found = parse(url)
    assert (address.peer, found) == (peer, topic)


def test_credentials_are_read_and_not_shown() -> None:
    address, _ = parse("mqtt://ada:love%40lace@h")
    assert (address.username, address.password) == ("ada", "love@lace")
    assert "love" not in address.peer
    assert address.is_plain
    assert not parse("mqtts://ada:x@h")[0].is_plain
    assert not parse("mqtt://ada:x@127.0.0.1")[0].is_plain


@pytest.mark.parametrize(
    ("url", "problem"),
    [("http://h", "scheme"), ("mqtt://", "names no host"), ("mqtt://h:0", "port"), ("mqtt://u:secret@h:x", "read")],
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as refused:
        parse(url)
    assert "secret" not in str(refused.value)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="password_file"):
        read_password(str(tmp_path / "none"))
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigurationError, match="empty"):
        read_password(str(tmp_path / "empty"))
    (tmp_path / "good").write_text("secret\nmore\n")
    assert read_password(str(tmp_path / "good")) == "secret"
    for field in ("ca_file", "cert_file"):
        address = Address(host="h", port=1, tls=True, **{field: str(tmp_path / "none")})  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=field):
            address.tls_context()
    assert Address(host="h", port=1).tls_context() is None
