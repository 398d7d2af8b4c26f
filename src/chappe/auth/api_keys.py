"""API keys of backends, kept as hashes."""

import hashlib
import hmac
import re
from pathlib import Path
from typing import Final

from chappe.model.errors import ConfigurationError

_LINE: Final = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-fA-F]{64})")


class ApiKeys:
    """Names of backends by key. Keys are read once; a changed file needs a restart."""

    def __init__(self, hashes: dict[str, bytes]) -> None:
        """Take the SHA-256 of each key, by the name of its backend."""
        self._hashes = dict(hashes)

    @classmethod
    def load(cls, path: str | Path) -> "ApiKeys":
        """Read a file of lines `name:sha256hex`, as `chappe token create --api` writes them; `#` begins a comment.

        Raises:
            ConfigurationError: the file cannot be read, or a line is none; the text has its number and not its content.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"api.keys_file {str(path)!r} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"api.keys_file {str(path)!r} is no UTF-8 text") from None
        hashes: dict[str, bytes] = {}
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.partition("#")[0].strip()
            if not line:
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise ConfigurationError(
                    f"api.keys_file {str(path)!r}, line {number}: expected name:sha256hex; "
                    "make one with `chappe token create --api`"
                )
            if match[1] in hashes:
                raise ConfigurationError(f"api.keys_file {str(path)!r}, line {number}: {match[1]!r} is there already")
            hashes[match[1]] = bytes.fromhex(match[2])
        return cls(hashes)

    def find(self, key: str) -> str | None:
        """Return the name of the backend whose key this is, or None; takes the same time whichever it is."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        found = None
        for name, known in self._hashes.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def __len__(self) -> int:
        """Return how many keys there are."""
        return len(self._hashes)
