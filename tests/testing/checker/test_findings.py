"""A finding reads as a sentence."""

from chappe.testing.checker.findings import Finding, Kind


def test_a_finding_names_its_kind_and_channel_first() -> None:
    assert str(Finding(Kind.FALSE_RECOVERED, "news", "s did not see 3")) == "false recovered: news: s did not see 3"
