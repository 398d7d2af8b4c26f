"""Which session a request names, and how it ended."""

from __future__ import annotations

from tests.api.poll_client import PollClient, client, problem
from tests.transports.sse_harness import served


async def test_the_header_names_the_session_when_the_url_names_one_too() -> None:
    async with served() as server, client(server) as http:
        ada = await PollClient(http).begin()
        told = await http.get("/poll?session=x&timeout=0", headers={"Chappe-Session": ada.session})
        assert told.status_code == 204
        answer = await http.post("/send?session=x", content=b"[]", headers={"Chappe-Session": ada.session})
        assert answer.json() == {"messages": []}


async def test_how_it_ended_is_worded_in_the_language_of_the_request() -> None:
    async with served() as server, client(server) as http:
        ada = await PollClient(http).begin()
        (session,) = server.hub.core.sessions.values()
        session.close(3008)
        answer = await ada.ask(lang="fr")
        assert problem(answer) == (410, 3008)
        assert answer.headers["content-language"] == "fr"
        assert answer.json()["title"] != answer.json()["detail"] or "lent" in answer.json()["detail"]


async def test_an_unknown_protocol_is_refused() -> None:
    async with served() as server, client(server) as http:
        assert problem(await http.get("/poll?protocol=mqtt")) == (400, 107)
