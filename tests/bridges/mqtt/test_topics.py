"""Lines that say which topics belong to which channels."""

import pytest

from chappe.bridges.mqtt.topics import Mapping, parse
from chappe.model.errors import ConfigurationError


@pytest.mark.parametrize(
    ("line", "mapping"),
    [
        ("a/b", Mapping("a/b", "out", 0)),
        ("a/# in", Mapping("a/#", "in", 0)),
        ("a/+/c both 2", Mapping("a/+/c", "both", 2)),
        ("# in 1 home/ site1/", Mapping("#", "in", 1, "home/", "site1/")),
        ('# out 1 "" site1/', Mapping("#", "out", 1, "", "site1/")),
        ('"" both 0 here there', Mapping("", "both", 0, "here", "there")),
    ],
)
def test_a_line_is_read_as_mosquitto_reads_it(line: str, mapping: Mapping) -> None:
    assert parse([line]) == [mapping]


def test_names_are_translated_both_ways() -> None:
    (mapping,) = parse(["+/state both 1 home/ site1/"])
    assert (mapping.local, mapping.remote) == ("home/+/state", "site1/+/state")
    assert mapping.to_channel("site1/lamp/state") == "home/lamp/state"
    assert mapping.to_channel("site2/lamp/state") is None
    assert mapping.to_channel("site1/lamp/other") is None
    assert mapping.to_topic("home/lamp/state") == "site1/lamp/state"
    (exact,) = parse(['"" both 0 here there'])
    assert (exact.to_channel("there"), exact.to_topic("here")) == ("here", "there")
    (stripped,) = parse(['# in 1 "" far/'])
    assert stripped.to_channel("far/$user/ada") is None
    (out,) = parse(["a out"])
    assert out.to_channel("a") is None


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], "it has no topics"),
        (["a sideways"], "'sideways' is no direction"),
        (["a in 3"], "'3' is no QoS"),
        (["a in 1 x/ y/ z"], "6 words"),
        ([""], "0 words"),
        (['a "'], "No closing quotation"),
        (["a/#/b in"], "# must be the last segment"),
        (["a+ in"], r"\+ must stand alone"),
        (['"" in 1 "" x'], "empty"),
        (["a in 1 +/ x/"], "a prefix has no wildcards"),
        (["a in 1 x/ +/"], "a prefix has no wildcards"),
        (["$SYS/# in"], "are the hub's own"),
        (["x in 1 a/ $share/g/"], "no shared subscription"),
        (["a/# in", "a/b in"], "overlap"),
        (["a/# both", "a/b out"], "overlap"),
        (["x in 0 one/ far/", "x in 0 two/ far/"], "overlap"),
    ],
)
def test_what_cannot_be_meant_is_refused(lines: list[str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        parse(lines)


def test_lines_that_touch_only_across_directions_do_not_overlap() -> None:
    assert len(parse(["a/# in", "a/# out", "$SYS/# in 0 broker/"])) == 3
