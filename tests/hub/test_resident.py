from __future__ import annotations

import pytest

from chappe.hub.contracts import Claims
from chappe.hub.resident import Resident


def test_a_protocol_has_to_say_what_becomes_of_its_clients() -> None:
    resident = Resident()
    with pytest.raises(NotImplementedError):
        resident.arrive(None, Claims(), "", print)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        resident.leave(None, 1000)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        _ = resident.key_owner
