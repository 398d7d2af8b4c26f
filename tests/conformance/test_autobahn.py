"""Autobahn's cases against every server there is and the Python client; `make conformance` runs those left out here."""

import pytest

from tests.conformance.autobahn import SERVERS, Verdicts, judge_client, judge_server, unusual

#: All but most of compression, where a case is a thousand messages, and the 16 MiB messages of section 9.
CASES = [*(f"{section}.*" for section in (1, 2, 3, 4, 5, 6, 7, 10)), "9.3.*", "9.4.*", "9.7.*", "9.8.*"]
COMPRESSION = [
    f"{group}.{case}"
    for group in (*(f"12.{n}" for n in range(1, 6)), *(f"13.{n}" for n in range(1, 8)))
    for case in (1, 4)
]
COUNT = 247 + 9 + 9 + 6 + 6 + len(COMPRESSION)
#: They ask for a window of 9 bits and nothing else: the offer is declined.
DECLINED: Verdicts = {f"13.{group}.{case}": "UNIMPLEMENTED" for group in (3, 5) for case in range(1, 19)}
#: Right, but the client, unlike the hub, sees what breaks the rules before the message ahead of it was echoed, and
#: text that is no UTF-8 at the end of its frame.
CLIENT_NON_STRICT = {"3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"}
CLIENT_NON_STRICT |= {"6.4.1", "6.4.2", "6.4.3", "6.4.4"}


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_passes_every_case(name: str) -> None:
    verdicts = await judge_server(name, [*CASES, *COMPRESSION])
    assert len(verdicts) == COUNT
    assert unusual(verdicts) == {case: verdict for case, verdict in DECLINED.items() if case in verdicts}


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_the_client_passes_every_case() -> None:
    verdicts = await judge_client([*CASES, *COMPRESSION])
    assert len(verdicts) == COUNT
    assert set(unusual(verdicts).items()) <= {(case, "NON-STRICT") for case in CLIENT_NON_STRICT}
