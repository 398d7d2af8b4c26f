"""Name what is measured in one go."""

from __future__ import annotations

import dataclasses
from typing import Any

from chappe.bench.servers import Kind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Say what one table shows.

    Attributes:
        fields: of `Load`, the same for all servers.
    """

    title: str
    kind: Kind
    fields: dict[str, Any]
