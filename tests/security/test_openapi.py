"""The services do what their descriptions say, and refuse what those do not allow; asked by the hundred."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from splitway.cli.operate.keys import create
from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook
from tests.security.described import SECONDS, Exploration, explore

ADMIN_KEY = "the administrator's own"
INFER = "POST /v2/models/{model}/infer"


class Keyed(NamedTuple):
    """A pipeline whose gateway asks for keys, and whose stages have an administrator."""

    running: LocalPipeline
    key: str


@pytest.fixture(scope="module")
def keyed(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    key, _ = create(file, "test", ["infer", "metrics"], "1d")
    told = {"SPLITWAY_KEYS_FILE": str(file), "SPLITWAY_ADMIN_KEY": ADMIN_KEY}
    with LocalPipeline(LaunchPlan(models, port=0, environment=told, run_file=None), LogBook().line) as running:
        running.wait_ready()
        yield Keyed(running, key)


def in_order(found: Exploration) -> None:
    assert not found.failures, "\n\n".join(f"{what}\n{how}" for what, how in found.failures.items())
    assert not {label for label, status in found.statuses if status >= 500}


def reached(found: Exploration, status: int, routes: set[str]) -> None:
    """Each of the routes answered with the status at least once; what is limited in time may end before."""
    assert SECONDS or found.seen(status) >= routes, f"{status} from {sorted(found.seen(status))}"


def description(client: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def test_a_gateway_does_what_it_says(pipeline: LocalPipeline) -> None:
    found = explore(pipeline.gateway.url, model="pipeline")
    in_order(found)
    reached(found, 200, {"POST /v1/classify", INFER, "GET /v1/pipeline", "GET /metrics", "GET /readyz"})
    reached(found, 400, {"POST /v1/classify", INFER})


def test_a_stage_does_what_it_says(pipeline: LocalPipeline) -> None:
    """Its repository is closed, where nobody is an administrator."""
    url = pipeline.of("feature_extractor")[0].url
    found = explore(url, model="feature_extractor", without="^/v2/repository")
    in_order(found)
    reached(found, 200, {INFER, "GET /v1/stage", "GET /v2/models/{model}"})


def test_a_gateway_with_keys_does_what_it_says(keyed: Keyed) -> None:
    """The routes that cost most and tell most; the others are asked above."""
    only = r"^/v1|^/metrics|^/v2/models/{model}(/infer)?$"
    found = explore(keyed.running.gateway.url, model="pipeline", key=keyed.key, only=only)
    in_order(found)
    reached(found, 200, {"POST /v1/classify", INFER, "GET /v1/pipeline", "GET /metrics", "GET /v2/models/{model}"})
    reached(found, 401, {"POST /v1/classify", INFER, "GET /v1/pipeline", "GET /metrics", "GET /v2/models/{model}"})


def test_a_stages_repository_does_what_it_says(keyed: Keyed) -> None:
    url = keyed.running.of("classifier")[0].url
    found = explore(url, model="classifier", key=ADMIN_KEY, only="^/v2/repository")
    in_order(found)
    routes = {f"POST /v2/repository/models/{{model}}/{verb}" for verb in ("index", "load", "unload")}
    reached(found, 200, routes)
    reached(found, 401, routes)


@pytest.mark.parametrize("service", ["gateway", "extractor"])
def test_every_operation_is_described_whole(service: str, request: pytest.FixtureRequest) -> None:
    document = description(request.getfixturevalue(service))
    tags = {tag["name"] for tag in document["tags"]}
    assert all(tag["description"] for tag in document["tags"])
    assert document["info"]["description"]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert set(operation["tags"]) <= tags, (method, path)
            assert {"200", "400", "500"} <= operation["responses"].keys(), (method, path)
            assert all(response["description"] for response in operation["responses"].values()), (method, path)
            named = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}, (method, path)


def test_errors_look_as_their_route_says(gateway: httpx.Client, extractor: httpx.Client) -> None:
    forms = {
        (client, path): response["content"].keys()
        for client in (gateway, extractor)
        for path, operations in description(client)["paths"].items()
        for operation in operations.values()
        for status, response in operation["responses"].items()
        if int(status) >= 400 and status != "503"
    }
    for (client, path), form in forms.items():
        problem = client is gateway and not path.startswith("/v2")
        assert form == {"application/problem+json" if problem else "application/json"}, path


def test_only_a_gateway_that_asks_for_keys_says_so(keyed: Keyed, gateway: httpx.Client) -> None:
    headers = {"authorization": f"Bearer {keyed.key}"}
    closed = httpx.get(f"{keyed.running.gateway.url}/openapi.json", headers=headers, trust_env=False).json()["paths"]
    asking = {path for path, operations in closed.items() for each in operations.values() if each.get("security")}
    assert closed.keys() - asking == {"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"}
    assert all({"401", "403"} <= each["responses"].keys() for path in asking for each in closed[path].values())
    open_ = description(gateway)["paths"]
    assert not any(each.get("security") for operations in open_.values() for each in operations.values())


@pytest.mark.parametrize("path", ["/livez", "/v1/pipeline", "/v2/models/pipeline", "/metrics"])
def test_head_is_get_without_a_body(gateway: httpx.Client, path: str) -> None:
    head, get = gateway.head(path), gateway.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "DELETE", "QUERY", "HEAD"])
def test_another_method_is_405_and_told_which_there_are(
    gateway: httpx.Client, extractor: httpx.Client, method: str
) -> None:
    for client, path, allowed in (
        (gateway, "/v1/classify", "POST"),
        (gateway, "/v2/models/pipeline/infer", "POST"),
        (extractor, "/v2/models/feature_extractor/infer", "POST"),
        (gateway, "/readyz", "GET, HEAD"),
        (extractor, "/v1/stage", "GET, HEAD"),
    ):
        if method == "HEAD" and "HEAD" in allowed:
            continue
        reply = client.request(method, path, headers={"x-probe": "canary"})
        assert (reply.status_code, reply.headers["allow"]) == (405, allowed), path
        assert "canary" not in reply.text, path
