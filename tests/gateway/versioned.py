"""Stages of several versions whose answers say which versions they came through, so that mixing shows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from aiohttp import web

from splitway.gateway.app import create_app
from splitway.gateway.settings import GatewaySettings
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, parse_request
from tests.gateway.conftest import Entry, Handler, answer, body_entry, classes, extractor_entry, head_entry, serving

JPEG = {"content-type": "image/jpeg"}


def space(version: str) -> str:
    """The feature space that an extractor's version gives."""
    return f"fs:{int(version):016x}"


def body_space(version: str) -> str:
    return f"fs:{int(version) + 0xB0:016x}"


@dataclass
class Stage:
    """One replica: what it says that it serves, and what it serves. Heads take any features: mixing is not refused."""

    name: str
    said: list[Entry]
    gone: set[tuple[str, str]] = field(default_factory=set)
    """Versions that it no longer serves, whatever its inventory says."""
    instead: dict[tuple[str, str], Handler] = field(default_factory=dict)
    """Versions that answer in another way."""
    calls: list[tuple[str, str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        offer = request.match_info["model"], request.match_info["version"]
        self.calls.append(offer)
        entry = next((e for e in self.said if (e["name"], e["version"]) == offer), None)
        if entry is None or offer in self.gone:
            return web.json_response({"error": f"there is no {offer}"}, status=404)
        if offer in self.instead:
            return await self.instead[offer](request)
        asked = parse_request(await request.read(), request.headers.get(HEADER_LENGTH))
        return _answer(entry, asked.inputs)


def _answer(entry: Entry, inputs: tuple[Tensor, ...]) -> web.Response:
    """An extractor writes its version into the features, a body adds a hundred times its own, a head says them."""
    name, version = entry["name"], entry["version"]
    if entry["role"] == "head":
        came_through = int(inputs[0].array[0, 0])
        label = f"0.5:{version}:{name} {version} of {came_through}".encode()
        return answer(name, classes(label), feature_space=None, version=version)
    number = int(version)
    if entry["role"] == "body":
        number = int(inputs[0].array[0, 0]) + 100 * number
    gives = entry["gives_space"] or entry["feature_space"]
    features = Tensor.of_array("features", np.full((inputs[0].rows, 4), number, np.float32))
    return answer(name, features, feature_space=gives, version=version)


def extractors(*versions: str) -> Stage:
    """A replica with these versions of the extractor, each of its own space; the last is the default."""
    last = versions[-1]
    return Stage("feature_extractor", [extractor_entry(v, space(v), is_default=v == last) for v in versions])


def heads(**versions: tuple[str, ...]) -> Stage:
    """A replica with these heads; each version takes what the extractor's version of the same number gives."""
    return Stage(
        "classifier",
        [head_entry(name, v, space(v), is_default=v == vs[-1]) for name, vs in versions.items() for v in vs],
    )


def bodies(name: str, *versions: str) -> Stage:
    return Stage(name, [body_entry(name, space(v), body_space(v), v) for v in versions])


def release(version: str, *names: str) -> dict[str, Any]:
    """A release of one number: this version of the extractor, and of each head."""
    heads = dict.fromkeys(names or ("classifier",), version)
    return {"extractor": version, "heads": heads, "feature_space": space(version), "created": "2026-11-24T18:00:00Z"}


def trial(name: str, percent: float = 100.0, since: str = "2026-11-24T18:00:00Z") -> dict[str, Any]:
    return {"release": name, "percent": percent, "since": since}


def write(path: Path, releases: Mapping[str, Any], **more: Any) -> None:
    """Replace the releases file in one step."""
    content = {"format": 1, "releases": releases, "current": None, "previous": None, **more}
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"canary": None, "shadow": None, "history": [], **content}))
    temporary.replace(path)


@asynccontextmanager
async def pipeline(*stages: Stage, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway in front of these replicas, probing often."""
    async with AsyncExitStack() as stack:
        urls: dict[str, list[str]] = {}
        for stage in stages:
            url = await stack.enter_async_context(serving(stage.name, stage.handle, stage.said))
            urls.setdefault(stage.name, []).append(url)
        addresses: dict[str, Any] = {name: ",".join(several) for name, several in urls.items()}
        between = {name: addresses.pop(name) for name in urls if name not in ("feature_extractor", "classifier")}
        given = {**addresses, "bodies": between, "probe_interval_ms": 50, **settings}
        app = create_app(GatewaySettings.model_validate(given))
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app)
        yield await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=30)
        )


async def classify(client: httpx.AsyncClient, query: str = "", picture: bytes = b"picture", **headers: str) -> Any:
    """Ask for one picture; names of headers are written with underscores."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(f"/v1/classify{query}", content=picture, headers={**JPEG, **sent})
