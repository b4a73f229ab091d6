"""What the apps' descriptions of themselves (OpenAPI 3.1) have in common.

A description is made when it is asked for and costs no other request anything. A route describes what is special to it.
This module adds what is true of all routes: how errors look, which callers show a key, which headers every answer has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from splitway.errors import RequestError, ServingError, SplitwayError
from splitway.names import REQUEST_ID_HEADER, TIMEOUT_HEADER
from splitway.schemas.message import PREFIX, JsonSchema, RequestSchema, json_schemas

Docs = dict[str, Any]
STRING: JsonSchema = {"type": "string"}
INTEGER: JsonSchema = {"type": "integer"}
BINARY: JsonSchema = {"type": "string", "format": "binary"}
BEARER = "bearer"
"""The scheme's name in every description."""
_ALWAYS = (400, 408, 414, 417, 429, 431, 500)
"""What any request may be answered: before the app sees it, if its head is wrong, slow or large, or its connection is
one too many; and by the app if its Host is wrong, or the failure is unexpected."""
_STRANGERS = (401, 403)
_REFERENCE = re.compile(rf"{PREFIX}(\w+)")
_NAMED = re.compile(r"{(\w+)}")
_PLACES = {"model": "The model's name.", "version": "Its version; without one the default."}
_IN_PATH = {
    name: {"name": name, "in": "path", "required": True, "description": text, "schema": STRING | {"minLength": 1}}
    for name, text in _PLACES.items()
}
"""Parameters of every path that has them."""


@dataclass(frozen=True)
class Description:
    """Completes what the framework has collected from an app's routes.

    Args:
        about: what the app is, in a few sentences of Markdown.
        statuses: the status of each error's code.
        tags: the groups of routes, and what each is for.
        error: the schema and media type of a path's errors.
        schemes: how callers show who they are, by name.
        needed: the schemes by which every caller of a path has to; none where anybody may.
        headers: what stands beside every answer.
        examples: requests, by the name of their schema, instead of its own.
    """

    about: str
    statuses: Mapping[str, int]
    tags: Mapping[str, str]
    error: Callable[[str], tuple[str, JsonSchema]]
    schemes: Mapping[str, Docs]
    needed: Callable[[str], Sequence[str]]
    headers: Mapping[str, Docs] = field(default_factory=dict)
    examples: Mapping[str, Sequence[Docs]] = field(default_factory=dict)

    def complete(self, document: Docs) -> None:
        """Add to the framework's description."""
        document["info"]["description"] = self.about
        document["tags"] = [{"name": name, "description": text} for name, text in self.tags.items()]
        for path, operations in document["paths"].items():
            for operation in operations.values():
                self._complete(path, operation)
        schemas = json_schemas(_REFERENCE.findall(str(document)))
        for name, examples in self.examples.items():
            schemas[name]["examples"] = [*examples]
        document["components"] = {"schemas": schemas, "securitySchemes": dict(self.schemes)}

    def _complete(self, path: str, operation: Docs) -> None:
        if named := [_IN_PATH[name] for name in _NAMED.findall(path)]:
            operation["parameters"] = [*named, *operation.get("parameters", [])]
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
            refusal["headers"] = {"retry-after": header("Seconds after which to come back.", INTEGER)}
        if status == 401:
            refusal["headers"] = {"www-authenticate": header("Bearer.")}
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


def reference(*schemas: type[RequestSchema]) -> JsonSchema:
    """A reference to a schema, or to any of several."""
    found = [{"$ref": PREFIX + schema.__name__} for schema in schemas]
    return found[0] if len(found) == 1 else {"anyOf": found}


def body(*schemas: type[RequestSchema]) -> Docs:
    """JSON of one of these schemas."""
    return {"application/json": {"schema": reference(*schemas)}}


def answer(description: str, *schemas: type[RequestSchema], **more: Any) -> Docs:
    """One answer with a body of JSON."""
    return {"description": description, "content": body(*schemas), **more}


def header(description: str, schema: JsonSchema = STRING) -> Docs:
    """One header of an answer."""
    return {"description": description, "schema": schema}


def parameter(name: str, in_: str, description: str, schema: JsonSchema = STRING) -> Docs:
    """One parameter of a request."""
    return {"name": name, "in": in_, "description": description, "schema": schema}


TIMEOUT = parameter(
    TIMEOUT_HEADER,
    "header",
    "How long the caller waits, in milliseconds; clamped to what the service allows.",
    {"type": "number", "exclusiveMinimum": 0, "examples": [2500]},
)
REQUEST_ID = parameter(
    REQUEST_ID_HEADER,
    "header",
    "Names the request in answers, logs and traces. Any value but 1 to 128 letters, digits or `._:/+=@-` is replaced.",
)
