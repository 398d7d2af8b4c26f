"""The table of settings names every key, its type and what it expects."""

from chappe.config.fields import Expected, fields_of, find, section_type, sections
from chappe.config.settings import NamespaceSettings, ServerSettings


def test_sections_are_those_of_the_interface() -> None:
    assert list(sections()) == ["server", "broker", "auth", "api", "limits", "mqtt", "poll", "sse", "log"]


def test_named_tables_have_the_type_of_what_they_hold() -> None:
    assert section_type("namespaces.chat") is NamespaceSettings
    assert section_type("server") is ServerSettings
    assert section_type("namespaces") is None
    assert section_type("nothing.here") is None


def test_every_field_says_what_it_expects() -> None:
    for section, struct in sections().items():
        for field in fields_of(section, struct):
            assert str(field.expected)
            assert field.name == f"{section}.{field.key}"


def test_a_port_is_a_whole_number_in_the_range_of_ports() -> None:
    field = find("server", "port")
    assert field is not None
    assert str(field.expected) == "a whole number from 0 to 65535"


def test_a_limit_that_zero_would_break_starts_at_one() -> None:
    depth, rate = find("limits", "json_depth"), find("limits", "messages_per_s")
    assert depth is not None
    assert depth.expected == Expected("whole", 1)
    assert rate is not None
    assert rate.expected == Expected("number", 0)


def test_choices_switches_lists_and_texts_are_told_apart() -> None:
    kinds = {name: _kind(name) for name in ("preset", "dev", "allowed_hosts", "host")}
    assert kinds == {"preset": "choice", "dev": "switch", "allowed_hosts": "list", "host": "text"}


def test_an_unknown_key_is_not_found() -> None:
    assert find("server", "prot") is None
    assert find("srver", "port") is None


def _kind(key: str) -> str:
    field = find("server", key)
    assert field is not None
    return field.expected.kind
