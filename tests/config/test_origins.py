"""An origin names the file, variable or flag that a value came from."""

from chappe.config.origins import DEFAULT, Origin


def test_an_origin_reads_as_its_name() -> None:
    assert str(Origin("environment", "CHAPPE_SERVER__PORT")) == "CHAPPE_SERVER__PORT"
    assert str(DEFAULT) == "default"
