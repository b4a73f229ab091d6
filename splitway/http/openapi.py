"""What the apps' descriptions of themselves (OpenAPI 3.1) have in common.

A description is made at the first request for it, and costs other requests nothing. Routes describe their own parts;
this module adds the common ones: errors, authentication, and the methods of a path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from splitway.errors import RequestError, ServingError, SplitwayError

Docs = dict[str, Any]
Schema = dict[str, Any]
BEARER = "bearer"
"""The scheme's name in every description."""
_ALWAYS = (400, 408, 414, 417, 429, 431, 500)
"""What any request may be answered: before the app sees it, if its head is wrong, slow or large, or its connection is
one too many; and by the app if its Host is wrong, or the failure is unexpected."""
_STRANGERS = (401, 403)


@dataclass(frozen=True)
class Description:
    """Completes what the framework has collected from an app's routes.

    Args:
        about: what the app is, in a few sentences of Markdown.
        statuses: the status of each error's code.
        schemas: the components that the routes refer to.
        tags: the groups of routes, and what each is for.
        error: the schema and media type of a path's errors.
        schemes: how callers show who they are, by name.
        needed: the schemes by which every caller of a path has to; none where anybody may.
        headers: what stands beside every answer.
    """

    about: str
    statuses: Mapping[str, int]
    schemas: Mapping[str, Schema]
    tags: Mapping[str, str]
    error: Callable[[str], tuple[str, Schema]]
    schemes: Mapping[str, Docs]
    needed: Callable[[str], Sequence[str]]
    headers: Mapping[str, Docs] = field(default_factory=dict)

    def complete(self, document: Docs) -> None:
        """Add to the framework's description."""
        document["info"]["description"] = self.about
        document["tags"] = [{"name": name, "description": text} for name, text in self.tags.items()]
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(self.schemas)
        components["securitySchemes"] = dict(self.schemes)
        for path, operations in document["paths"].items():
            for operation in operations.values():
                self._complete(path, operation)

    def _complete(self, path: str, operation: Docs) -> None:
        statuses = [*_ALWAYS]
        needed: dict[str, list[str]] = {scheme: [] for scheme in self.needed(path)}
        if needed or "security" in operation:
            (asked,) = operation.get("security", [{}])
            operation["security"] = [{**needed, **asked}]
            statuses += _STRANGERS
        responses: dict[str, Docs] = operation["responses"]
        for status in statuses:
            responses.setdefault(str(status), {})
        operation["responses"] = {status: self._answer(path, status, responses[status]) for status in sorted(responses)}

    def _answer(self, path: str, status: str, said: Docs) -> Docs:
        """What the route says of an answer, and if that is nothing what its errors look like."""
        is_refusal = int(status) >= 400 and "content" not in said
        whole = {**said, **self._refusal(path, int(status))} if is_refusal else said
        return {**whole, "headers": {**self.headers, **whole.get("headers", {})}}

    def _refusal(self, path: str, status: int) -> Docs:
        media_type, schema = self.error(path)
        refusal: Docs = {"description": self._titles(status), "content": {media_type: {"schema": schema}}}
        if status in (429, 503):
            refusal["headers"] = {"retry-after": header("Seconds after which to come back.", {"type": "integer"})}
        if status == 401:
            refusal["headers"] = {"www-authenticate": header("Bearer.", {"type": "string"})}
        return refusal

    def _titles(self, status: int) -> str:
        """What the errors that a status may stand for are called."""
        kinds: list[type[SplitwayError]] = [
            SplitwayError,
            *RequestError.__subclasses__(),
            *ServingError.__subclasses__(),
        ]
        titles = [kind.title for kind in kinds if self.statuses.get(kind.code) == status]
        return "; ".join(titles) or HTTPStatus(status).phrase


def bearer(description: str) -> dict[str, Docs]:
    """The scheme by which callers show a key or a token in `Authorization: Bearer`."""
    return {BEARER: {"type": "http", "scheme": "bearer", "description": description}}


def refusals(*statuses: int) -> dict[int | str, Docs]:
    """Statuses of errors that a route may answer with, beside those that any may."""
    return {status: {} for status in statuses}


def reference(name: str) -> Schema:
    """A schema among the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def answer(description: str, schema: Schema, media_type: str = "application/json", **more: Any) -> Docs:
    """One answer with a body."""
    return {"description": description, "content": {media_type: {"schema": schema}}, **more}


def header(description: str, schema: Schema) -> Docs:
    """One header of an answer."""
    return {"description": description, "schema": schema}


def parameter(name: str, in_: str, description: str, schema: Schema, **more: Any) -> Docs:
    """One parameter of a request; those of the path are required."""
    docs = {"name": name, "in": in_, "description": description, "schema": schema, **more}
    return docs | {"required": True} if in_ == "path" else docs


def closed(properties: Mapping[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """An object with these properties and no others, all there but those that are optional."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": dict(properties), "additionalProperties": False}


def list_of(schema: Schema, **more: Any) -> Schema:
    """An array of these."""
    return {"type": "array", "items": schema, **more}


def or_null(schema: Schema) -> Schema:
    """This or null."""
    return {"anyOf": [schema, {"type": "null"}]}


STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
TIMEOUT = parameter(
    "x-request-timeout-ms",
    "header",
    "How long the caller waits, in milliseconds; clamped to what the service allows.",
    {"type": "number", "exclusiveMinimum": 0, "examples": [2500]},
)
REQUEST_ID = parameter(
    "x-request-id",
    "header",
    "Names the request in answers, logs and traces. What is not 1 to 128 letters, digits or `._:/+=@-` is replaced.",
    {"type": "string"},
)
