"""Hold every text of the command line, in English and French.

`T` is the dictionary of the user's language, chosen once from LC_ALL, LC_MESSAGES and LANG, since `--help` needs it
while commands are being defined. A key that one language lacks is a type error.
"""

import os
from collections.abc import Mapping

from chappe.cli.texts.english import ENGLISH
from chappe.cli.texts.french import FRENCH
from chappe.cli.texts.keys import Texts

__all__ = ["ENGLISH", "FRENCH", "T", "Texts", "choose"]


def choose(environ: Mapping[str, str]) -> Texts:
    """Return the texts for a locale as POSIX names it; English unless it is French."""
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return FRENCH if locale.lower().startswith("fr") else ENGLISH


T = choose(os.environ)
