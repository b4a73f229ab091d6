"""What a stage process says of its models, and the routes by which an administrator moves them.

`GET /v1/stage` is for probes and people. Below `/v2/repository` is Triton's model repository extension, for
administrators: those who send the administrator's key, or an API key with the scope `admin`.
https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from splitway.errors import Forbidden, InvalidInput, NotFound, Unauthorized, first_mistake
from splitway.http.body import plain_headers, read_body
from splitway.manifest import describe
from splitway.runtime import stage_docs
from splitway.runtime.catalog.repository import Repository
from splitway.runtime.catalog.versions import ModelVersions, Version
from splitway.runtime.settings import StageSettings
from splitway.schemas.message import RequestSchema
from splitway.schemas.stage import IndexRequest, VersionRequest
from splitway.security.audit import audit
from splitway.security.callers.keys import KeyRing
from splitway.security.callers.principal import KnownSecrets, Principal, bearer
from splitway.skins.v2_rest import json_response
from splitway.telemetry.trace import outcome_name
from splitway.wire.deadline import read_deadline
from splitway.wire.json_data import loads_bounded

_KEY_HOLDER = Principal("the administrator's key", frozenset({"admin"}))
_UNKNOWN = "an unknown caller"
_MAX_BODY_BYTES = 64 * 1024
_Asked = TypeVar("_Asked", bound=RequestSchema)
_OF_THE_MANIFEST = (
    *("role", "feature_space", "gives_space", "engine", "source_model", "cut"),
    *("max_rows", "threshold", "unsure_below"),
)
_TRITON_STATES = {"loading": "LOADING", "ready": "READY", "retiring": "UNLOADING", "failed": "UNAVAILABLE"}


def inventory(repository: Repository) -> dict[str, Any]:
    """Every version that is loaded, being loaded, or could not be."""
    reason = repository.lifecycle.not_ready_because
    models = [
        _entry(model, number, model.versions[number])
        for _, model in sorted(repository.models.items())
        for number in sorted(model.versions, key=int)
    ]
    return {"stage": repository.scope.name, "ready": reason is None, "reason": reason, "models": models}


def _entry(model: ModelVersions, number: str, version: Version) -> dict[str, Any]:
    entry = {
        "name": model.name,
        "version": number,
        "state": version.state,
        "reason": version.reason,
        "is_default": number == model.default,
    }
    card = version.card
    if card is None:  # its manifest has not been read, or cannot be
        return entry | dict.fromkeys(_OF_THE_MANIFEST) | {"inputs": [], "outputs": []}
    return {
        **entry,
        **describe(card.manifest),
        "engine": card.engine,
        "max_rows": card.max_rows,
        "threshold": card.manifest.threshold,
        "unsure_below": card.manifest.unsure_below,
        "inputs": [spec.metadata() for spec in card.inputs],
        "outputs": [spec.metadata() for spec in card.outputs],
    }


def inventory_router(repository: Repository, settings: StageSettings) -> APIRouter:
    """`/v1/stage` and the repository extension."""
    administrators = Administrators(settings)
    router = APIRouter(tags=[stage_docs.MODELS], default_response_class=Response)
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")

    @router.get("/v1/stage", **stage_docs.STAGE)
    async def stage() -> Response:
        return json_response({**inventory(repository), "started_at": started_at})

    @router.post("/v2/repository/models/{model}/index", **stage_docs.INDEX_OF_MODEL)
    @router.post("/v2/repository/index", **stage_docs.INDEX)
    async def index(request: Request) -> Response:
        name = request.path_params.get("model")
        async with administrators.acting(request, "repository.index", model=name):
            asked = await _read(IndexRequest, request, settings)
            if name is not None and name not in repository.models:
                raise NotFound(f"there is no model {name[:80]!r} here")
            return json_response(_index(repository, name, ready_only=asked.ready))

    async def moved(request: Request, action: str, move: Callable[[str, str | None], Awaitable[None]]) -> Response:
        name = request.path_params["model"]
        async with administrators.acting(request, action, model=name) as noted:
            asked = await _read(VersionRequest, request, settings)
            noted["version"] = version = asked.parameters.version
            await move(name, version)
        return Response()

    @router.post("/v2/repository/models/{model}/load", **stage_docs.LOAD)
    async def load(request: Request) -> Response:
        return await moved(request, "model.load", repository.load)

    @router.post("/v2/repository/models/{model}/unload", **stage_docs.UNLOAD)
    async def unload(request: Request) -> Response:
        return await moved(request, "model.unload", repository.unload)

    return router


async def _read(schema: type[_Asked], request: Request, settings: StageSettings) -> _Asked:
    limits, headers = settings.limits, plain_headers(request)
    deadline = read_deadline(headers, default_s=limits.default_timeout_s, max_s=limits.max_timeout_s)
    body = bytes(await read_body(request, headers, _MAX_BODY_BYTES, deadline))
    try:
        return schema.model_validate(loads_bounded(body, _MAX_BODY_BYTES) if body else {}, strict=True)
    except ValidationError as error:
        raise InvalidInput(first_mistake(error)) from error


def _index(repository: Repository, name: str | None, *, ready_only: bool) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for each, model in sorted(repository.models.items()):
        if name not in (None, each):
            continue
        for number, version in model.versions.items():
            state = _TRITON_STATES[version.state]
            entries.append({"name": each, "version": number, "state": state, "reason": version.reason or ""})
        unloaded = {"name": each, "state": "UNAVAILABLE", "reason": "unloaded"}
        entries += [unloaded | {"version": number} for number in model.unloaded]
    entries.sort(key=lambda entry: (entry["name"], int(entry["version"])))
    return [entry for entry in entries if not ready_only or entry["state"] == "READY"]


class Administrators:
    """Lets administrators in, and logs their actions and every refusal."""

    def __init__(self, settings: StageSettings) -> None:
        key = "" if settings.admin_key is None else settings.admin_key.get_secret_value()
        self._key = KnownSecrets([key]) if key else None
        self._keys = None if settings.keys_file is None else KeyRing(settings.keys_file, time.monotonic)

    @asynccontextmanager
    async def acting(self, request: Request, action: str, **what: Any) -> AsyncIterator[dict[str, Any]]:
        """Check the caller, then log the result of the action; entries of the given dictionary are logged with it.

        Raises:
            Unauthorized: the request names no key, or an unknown one.
            Forbidden: the caller is no administrator, or there are none here.
        """
        who = _UNKNOWN
        try:
            principal = self._principal(plain_headers(request).get("authorization"))
            who = principal.id
            principal.require("admin")
            yield what
        except BaseException as error:
            audit(action, who, outcome_name(error), **_bounded(what))
            raise
        audit(action, who, "ok", **_bounded(what))

    def _principal(self, header: str | None) -> Principal:
        if self._key is None and self._keys is None:
            raise Forbidden("the repository's routes are closed here: neither SPLITWAY_ADMIN_KEY nor _KEYS_FILE is set")
        given = bearer(header)
        if self._key is not None and self._key.have(given.encode("latin-1")):  # as headers are read
            return _KEY_HOLDER
        if self._keys is None:
            raise Unauthorized("this is not the administrator's key")
        return self._keys.verify(given)


def _bounded(what: dict[str, Any]) -> dict[str, Any]:
    """Names that came from outside, as long as one can be."""
    return {name: value[:80] if isinstance(value, str) else value for name, value in what.items()}
