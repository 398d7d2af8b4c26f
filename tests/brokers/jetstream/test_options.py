"""What a URL of NATS may say, and what is said about one that cannot be used."""

import pytest

from chappe.brokers.nats.options import NatsOptions, parse_url
from chappe.model.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("nats://localhost", NatsOptions(servers=("localhost:4222",))),
        ("nats://a:1,b,[::1]:3/", NatsOptions(servers=("a:1", "b:4222", "[::1]:3"))),
        ("nats://us%40er:p%3Ass@a", NatsOptions(servers=("a:4222",), user="us@er", password="p:ss")),
        ("nats://secret@a", NatsOptions(servers=("a:4222",), token="secret")),
        ("nats+tls://a", NatsOptions(servers=("a:4222",), tls=True)),
        (
            "nats://a/?stream=shop-1&storage=memory&replicas=3&max_bytes=1000&timeout_s=2.5&creds=/x&domain=hub",
            NatsOptions(
                servers=("a:4222",),
                stream="shop-1",
                storage="memory",
                replicas=3,
                max_bytes=1000,
                timeout_s=2.5,
                creds="/x",
                domain="hub",
            ),
        ),
    ],
)
def test_a_url_says_where_and_how(url: str, options: NatsOptions) -> None:
    assert parse_url(url) == options


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nats://", "no server"),
        ("nats://a:x", "no server"),
        ("nats://a:99999", "no server"),
        ("nats://a,,b", "no server"),
        ("nats://[::1", "no server"),
        ("nats:a", "expected nats"),
        ("nats://a#b", "no server"),
        ("nats://a/path", "expected nats"),
        ("nats://a/#b", "expected nats"),
        ("nats://a/?color=red", "option 'color'"),
        ("nats://a/?servers=b", "option 'servers'"),
        ("nats://a/?replicas=many", "option replicas"),
        ("nats://a/?replicas=6", "expected 1 to 5"),
        ("nats://a/?storage=tape", "expected file or memory"),
        ("nats://a/?stream=a.b", "letters, digits"),
        ("nats://a/?stream=", "letters, digits"),
        ("nats://a/?timeout_s=0", "expected 0.1 to 60"),
        ("nats://a/?timeout_s=nan", "expected 0.1 to 60"),
        ("nats://a/?max_bytes=-1", "expected 0 or more"),
    ],
)
def test_what_cannot_be_used_is_named(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        parse_url(url)


def test_an_error_shows_no_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_url("nats://ada:hunter2@a:x/")
    assert "hunter2" not in str(caught.value)
