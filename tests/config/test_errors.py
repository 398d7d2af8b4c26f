"""A wrong setting is one line that names its source, section and key, and what was expected."""

from chappe.config.errors import SettingError
from chappe.config.fields import Expected
from chappe.model.errors import ConfigurationError


def test_a_wrong_value_is_named_with_what_was_expected() -> None:
    error = SettingError(
        "wrong_value", "chappe.toml", section="server", key="port", value="'x'", expected=Expected("whole", 0, 65535)
    )
    assert str(error) == "chappe.toml: [server] port = 'x', expected a whole number from 0 to 65535"
    assert isinstance(error, ConfigurationError)


def test_an_unknown_key_comes_with_a_suggestion() -> None:
    error = SettingError("unknown_key", "CHAPPE_SERVER__PROT", section="server", key="prot", suggestion="port")
    assert str(error) == "CHAPPE_SERVER__PROT: [server] prot is not a setting; did you mean port?"


def test_every_problem_has_a_text_without_a_line_end() -> None:
    errors = [
        SettingError("unknown_section", "f", section="srver"),
        SettingError("not_toml", "f", value="why"),
        SettingError("no_file", "f", value="why"),
        SettingError("dev_only_flag", "f", section="server", key="dev"),
        SettingError("dev_loopback", "--host", value="0.0.0.0"),
    ]
    for error in errors:
        assert str(error)
        assert "\n" not in str(error)
