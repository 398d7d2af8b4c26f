"""The OpenAPI 3.1 document, generated from the types of the commands."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from chappe.api.commands import Command
from chappe.api.operation import Health, Readiness, Version
from chappe.api.problems import MEDIA_TYPE, Problem

#: Version of the interface: a new one when a program that used it must change.
API_VERSION: Final = "1.0.0"

_REF: Final = "#/components/schemas/{name}"
_JSON: Final = "application/json"


def openapi_document(commands: Sequence[Command]) -> dict[str, Any]:
    """Return the document; the same commands always give the same one."""
    types: list[type] = [Problem, Health, Readiness, Version]
    for command in commands:
        types += [command.asked, command.told]
    references, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = dict(zip(types, references, strict=True))
    paths: dict[str, Any] = {f"/api/{command.name}": _command_path(command, schema_of, schemas) for command in commands}
    paths["/healthz"] = _operation_path("health", "Tell that the process is alive.", schema_of[Health])
    paths["/readyz"] = _operation_path("ready", "Tell whether requests should come here.", schema_of[Readiness], "503")
    paths["/version"] = _operation_path("version", "Tell which hub this is.", schema_of[Version])
    paths["/metrics"] = _metrics_path()
    paths["/events"] = _events_path()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chappe HTTP API",
            "version": API_VERSION,
            "summary": "Publish, look and manage, for backends and operators.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {"Problem": _content("An error; docs/reference/errors.md has the codes.", Problem)},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, or a token whose `scope` has what the operation names.",
                }
            },
        },
    }


def _command_path(command: Command, schema_of: dict[type, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    scopes = " or ".join(f"`{scope}`" for scope in sorted(command.scopes))
    shared = {
        "summary": command.summary,
        "description": f"{schemas[command.asked.__name__].get('description', '')}\n\nScope: {scopes}.".strip(),
        "tags": ["operator" if command.scopes == {"operator"} else "backend"],
        "responses": _responses(schema_of[command.told]),
    }
    body = {"required": True, "content": {_JSON: {"schema": schema_of[command.asked]}}}
    path: dict[str, Any] = {"post": {"operationId": command.name, **shared, "requestBody": body}}
    if command.reads:
        parameters = _parameters(schemas[command.asked.__name__])
        path["get"] = {"operationId": f"{command.name}_by_query", **shared, "parameters": parameters}
    return path


def _parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the members of a request as parameters of a query; those that are objects only fit a body."""
    required = schema.get("required", [])
    found = []
    for name, member in schema.get("properties", {}).items():
        if "$ref" in str(member):
            continue
        shape = {key: value for key, value in member.items() if key != "description"}
        parameter = {"name": name, "in": "query", "required": name in required, "schema": shape}
        if "description" in member:
            parameter["description"] = member["description"]
        found.append(parameter)
    return found


def _operation_path(name: str, summary: str, schema: Any, failing: str | None = None) -> dict[str, Any]:
    answer = {"description": "The answer.", "content": {_JSON: {"schema": schema}}}
    responses = {"200": answer}
    if failing:
        responses[failing] = {"description": "Not now.", "content": {_JSON: {"schema": schema}}}
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "tags": ["operation"],
            "security": [],
            "responses": responses,
        }
    }


def _metrics_path() -> dict[str, Any]:
    page = {"description": "The counters.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "get": {
            "operationId": "metrics",
            "summary": "Give the counters, in the text format of Prometheus.",
            "description": "Scope: `api` or `operator`.",
            "tags": ["operation"],
            "responses": {"200": page, "default": {"$ref": "#/components/responses/Problem"}},
        }
    }


def _events_path() -> dict[str, Any]:
    stream = {"description": "The stream.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    parameters = [
        {"name": "channel", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
        {"name": "since", "in": "query", "schema": {"type": "string"}, "description": "`latest` or a count."},
        {"name": "last_event_id", "in": "query", "schema": {"type": "string"}, "description": "A cursor."},
        {"name": "raw", "in": "query", "schema": {"type": "string", "enum": ["0", "1"]}},
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}, "description": "A cursor."},
    ]
    return {
        "get": {
            "operationId": "events",
            "summary": "Read channels as Server-Sent Events.",
            "description": "For clients: with the token of a user, or anonymous where the hub allows it.",
            "tags": ["client"],
            "security": [{}, {"bearer": []}],
            "parameters": parameters,
            "responses": {"200": stream, "default": {"$ref": "#/components/responses/Problem"}},
        }
    }


def _responses(schema: Any) -> dict[str, Any]:
    answer = {"description": "The answer.", "content": {_JSON: {"schema": schema}}}
    return {"200": answer, "default": {"$ref": "#/components/responses/Problem"}}


def _content(description: str, kind: type) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=kind.__name__)}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}
