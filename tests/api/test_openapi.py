"""The OpenAPI document: whole, consistent, current, and true."""

import json
from pathlib import Path
from typing import Any

import pytest

from chappe.api.openapi import openapi_document
from chappe.api.routes import BATCH, COMMANDS
from tests.api.rig import Api

SPEC = Path(__file__).resolve().parents[2] / "spec" / "openapi.json"
DOCUMENT = openapi_document((*COMMANDS, BATCH))


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for inner in value.values() for found in references(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in references(inner)]
    return []


def test_the_file_in_spec_is_current() -> None:
    assert json.loads(SPEC.read_text(encoding="utf-8")) == DOCUMENT, "run make generate"


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(set(ids)) == len(ids)


async def test_the_hub_gives_the_document_to_anybody() -> None:
    response = await Api().request("GET", "/openapi.json", credential=None)
    assert response.json() == DOCUMENT


def test_every_path_of_the_document_is_a_route_and_the_other_way_round() -> None:
    routes = {getattr(route, "path", "") for route in Api().routes}
    assert routes - {"/api/{rest:path}", "/openapi.json"} | {"/events"} == set(DOCUMENT["paths"])


@pytest.mark.parametrize("command", [*COMMANDS, BATCH], ids=lambda command: command.name)
def test_a_request_with_another_member_is_refused_by_the_document_too(command: Any) -> None:
    schema = DOCUMENT["components"]["schemas"][command.asked.__name__]
    assert schema["additionalProperties"] is False
    assert schema["description"]
