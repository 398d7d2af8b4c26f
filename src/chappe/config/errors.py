"""Say what is wrong with a setting, as data and as one line of English."""

from typing import Literal

from chappe.config.fields import Expected
from chappe.model.errors import ConfigurationError

Problem = Literal[
    "unknown_key", "unknown_section", "wrong_value", "not_toml", "no_file", "dev_only_flag", "dev_loopback"
]


class SettingError(ConfigurationError):
    """One setting cannot be used; the text is one line naming source, section, key and what was expected.

    Attributes:
        problem: which of the ways to be wrong; the command line words it in the user's language.
        where: the file, variable or flag.
        section, key, value: the setting, as far as it is known.
        expected: what a wrong value should have been.
        suggestion: the known name nearest to an unknown one, or "".
    """

    def __init__(
        self,
        problem: Problem,
        where: str,
        *,
        section: str = "",
        key: str = "",
        value: str = "",
        expected: Expected | None = None,
        suggestion: str = "",
    ) -> None:
        self.problem, self.where = problem, where
        self.section, self.key, self.value = section, key, value
        self.expected, self.suggestion = expected, suggestion
        super().__init__(_english(self))

    def __str__(self) -> str:
        return self.reason


def _english(error: SettingError) -> str:
    name = f"[{error.section}] {error.key}".strip()
    hint = f"; did you mean {error.suggestion}?" if error.suggestion else ""
    match error.problem:
        case "unknown_key":
            return f"{error.where}: {name} is not a setting{hint}"
        case "unknown_section":
            return f"{error.where}: [{error.section}] is not a section{hint}"
        case "wrong_value":
            return f"{error.where}: {name} = {error.value}, expected {error.expected}"
        case "not_toml":
            return f"{error.where}: not a TOML file: {error.value}"
        case "no_file":
            return f"{error.where}: cannot be read: {error.value}"
        case "dev_only_flag":
            return f"{error.where}: {name} cannot be set here, only --dev on the command line turns it on"
        case "dev_loopback":
            return f"{error.where}: --dev serves this machine only, expected a loopback address, got {error.value}"
