"""What a `redis://` URL says, and which URLs say nothing."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.brokers.redis.address import Address, Host, parse
from chappe.model.errors import ConfigurationError


def test_one_server_is_at_its_usual_port() -> None:
    assert parse("redis://") == Address(layout="servers", hosts=(Host("127.0.0.1", 6379),))
    assert parse("redis://cache/").hosts == (Host("cache", 6379),)


def test_everything_can_be_said() -> None:
    address = parse("rediss://ada:p%40ss@one:1,[::1]:2,[fe80::2]/3?prefix=hub&timeout=2.5&durable=1&ca=ca.pem")
    assert address.tls
    assert (address.user, address.password, address.database) == ("ada", "p@ss", 3)
    assert address.hosts == (Host("one", 1), Host("::1", 2), Host("fe80::2", 6379))
    assert [str(host) for host in address.hosts] == ["one:1", "[::1]:2", "[fe80::2]:6379"]
    assert (address.prefix, address.timeout_s, address.durable, address.ca) == ("hub", 2.5, True, "ca.pem")


def test_sentinels_name_a_service() -> None:
    address = parse("redis+sentinel://:secret@a,b:5/hubs/2?tls=1")
    assert (address.layout, address.service, address.database, address.tls) == ("sentinel", "hubs", 2, True)
    assert address.hosts == (Host("a", 26379), Host("b", 5))


def test_a_cluster_is_spread_over_partitions() -> None:
    address = parse("redis+cluster://a:7000?partitions=128")
    assert (address.layout, address.partitions) == ("cluster", 128)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://x", "the scheme is 'http'"),
        ("redis", "the scheme is 'redis'"),
        ("redis://a:x", "the port is 'x'"),
        ("redis://a:0", "expected 1 to 65535"),
        ("redis://a:", "expected name or name:port"),
        ("redis://:5", "expected name or name:port"),
        ("redis://a,a", "named twice"),
        ("redis://a/x", "the database is 'x'"),
        ("redis://a?colour=red", "'colour' is not known"),
        ("redis://a?timeout=0", "expected 0.05 to 60 seconds"),
        ("redis://a?timeout=nan", "expected 0.05 to 60 seconds"),
        ("redis://a?prefix=", "expected some characters"),
        ("redis://a?prefix={x}", "without braces"),
        ("redis://a?durable=yes", "expected 0 or 1"),
        ("redis+sentinel://a", "no service is named"),
        ("redis+sentinel://a/hubs?durable=1", "replicas may lack"),
        ("redis+cluster://a/1", "a cluster has no databases"),
        ("redis+cluster://a?partitions=0", "expected 1 to 16384"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_was_expected(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        parse(url)


@given(st.text(max_size=40))
def test_any_text_is_understood_or_refused_without_showing_a_password(text: str) -> None:
    refused = ""
    try:
        parse(f"redis://ada:hunter2@{text}")
    except ConfigurationError as error:
        refused = str(error)
    assert "hunter2" not in refused


def test_files_for_tls_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ca, cert, key"):
        parse(f"rediss://a?ca={tmp_path}/none.pem").tls_context()
    assert parse("redis://a").tls_context() is None
