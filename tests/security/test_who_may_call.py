"""Who may call: a gateway that is reached from beyond this machine, asked by strangers and by those who may do less."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from splitway.cli.operate.keys import create, revoke
from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, free_port, one_line, splitway, until

JPEG = {"content-type": "image/jpeg"}
CLASSIFY, INFER, PIPELINE, METRICS = "/v1/classify", "/v2/models/pipeline/infer", "/v1/pipeline", "/metrics"
REQUESTS = "/v1/requests"
BEHIND_KEYS = (
    PIPELINE,
    METRICS,
    REQUESTS,
    "/v2",
    "/v2/models/pipeline",
    "/v2/models/pipeline/ready",
    "/v1/nothing",
    "/.env",
    "/docs",
)
OPEN = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/", "/page/main.js")


class Closed:
    """A pipeline whose gateway asks for keys, and the keys."""

    def __init__(self, url: str, keys: Path, log: LogBook) -> None:
        self.http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self.file = keys
        self.log = log

    def key(self, *scopes: str, expires: str = "1d") -> str:
        key, _ = create(self.file, "test", scopes, expires)
        return key

    def get(self, path: str, key: str | None = None) -> httpx.Response:
        return self.http.get(path, headers={} if key is None else {"authorization": f"Bearer {key}"})

    def classify(self, picture: bytes, authorization: str | None) -> httpx.Response:
        headers = JPEG if authorization is None else JPEG | {"authorization": authorization}
        return self.http.post(CLASSIFY, content=picture, headers=headers)


@pytest.fixture(scope="module")
def closed(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    create(keys, "first", ["infer"], "1d")
    log = LogBook()
    told = {
        "SPLITWAY_KEYS_FILE": str(keys),
        "SPLITWAY_ADMIN_KEY": "canary-admin",
        "SPLITWAY_REQUEST_LOG_PER_SECOND": "1000",
    }
    with LocalPipeline(LaunchPlan(models, "0.0.0.0", 0, environment=told, run_file=None), log.line) as running:  # noqa: S104
        running.wait_ready()
        closed = Closed(running.gateway.url, keys, log)
        with closed.http:
            yield closed


def settled(closed: Closed, key: str) -> str:
    """The key, once the gateway has taken it in."""
    until(lambda: closed.get(METRICS, key).status_code != 401, 5)
    return key


def test_a_stranger_gets_health_and_the_page_and_nothing_else(closed: Closed, cat: bytes) -> None:
    for path in OPEN:
        assert closed.get(path).status_code == 200, path
    for path in BEHIND_KEYS:
        reply = closed.get(path)
        assert reply.status_code == 401, path
        assert reply.headers["www-authenticate"] == "Bearer", path
    for path in (CLASSIFY, INFER, "/v2/repository/index", "/v2/repository/models/classifier/unload"):
        assert closed.http.post(path, content=cat, headers=JPEG).status_code == 401, path
    assert closed.http.request("PROPFIND", CLASSIFY).status_code == 401


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer x", "Basic dXNlcjpwYXNz", "Bearer splitway_0123456789_" + "A" * 43],
    ids=str,
)
def test_what_shows_nobody_is_401_before_the_body_is_read(
    closed: Closed, authorization: str | None, cat: bytes
) -> None:
    reply = closed.classify(cat, authorization)
    assert reply.status_code == 401
    assert reply.json()["code"] == "unauthorized"
    assert reply.json()["id"] == reply.headers["x-request-id"]
    assert closed.http.post(INFER, headers={"authorization": authorization or ""}).json().keys() == {"error"}


def test_each_scope_opens_its_own_and_the_others_are_403(closed: Closed, cat: bytes) -> None:
    keys = {scope: settled(closed, closed.key(scope)) for scope in ("infer", "metrics", "admin")}
    for scope, key in keys.items():
        assert closed.classify(cat, f"Bearer {key}").status_code == (200 if scope == "infer" else 403), scope
        for path in (PIPELINE, REQUESTS, METRICS):
            assert closed.get(path, key).status_code == (200 if scope == "metrics" else 403), (scope, path)
        repository = closed.http.post("/v2/repository/index", headers={"authorization": f"Bearer {key}"})
        assert repository.status_code == (404 if scope == "admin" else 403), scope  # the stages' is not served here


def test_the_docs_are_off(closed: Closed) -> None:
    key = settled(closed, closed.key("infer"))
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert closed.get(path, key).status_code == 404, path


def test_a_revoked_key_is_refused_within_two_seconds(closed: Closed, cat: bytes) -> None:
    key = settled(closed, closed.key("infer"))
    assert closed.classify(cat, f"Bearer {key}").status_code == 200
    revoke(closed.file, key.split("_")[1])
    until(lambda: closed.classify(cat, f"Bearer {key}").status_code == 401, 2)


def test_neither_the_log_nor_an_answer_has_a_key_in_it(closed: Closed, cat: bytes) -> None:
    key = settled(closed, closed.key("infer"))
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    answers = [closed.classify(cat, f"Bearer {each}").text for each in (key, wrong)]
    answers.append(closed.get(PIPELINE, key).text)
    was_ok = f'"outcome":"ok","caller":"{key.split("_")[1]}"'
    until(lambda: '"outcome":"unauthorized"' in closed.log.text and was_ok in closed.log.text, 10)
    for secret in (key, wrong, key.split("_", 2)[2], "canary-admin"):
        assert not any(secret in answer for answer in answers)
        assert secret not in closed.log.text
    assert '"outcome":"unauthorized"' in closed.log.text  # refusals are in it all the same,
    assert was_ok in closed.log.text  # and whose a request was


def test_an_administrator_leaves_a_line_for_every_action(models: Path, tmp_path: Path) -> None:
    keys, log, port = tmp_path / "keys.json", tmp_path / "log", free_port()
    admin, record = create(keys, "ops", ["admin"], "1d")
    infer, other = create(keys, "shop", ["infer"], "1d")
    told = {"SPLITWAY_MODELS": str(models), "SPLITWAY_KEYS_FILE": str(keys), "SPLITWAY_LOG_LEVEL": "error"}
    command = [sys.executable, "-m", "splitway.cli.main", "serve", "classifier", "--port", str(port)]
    with log.open("w") as stderr:
        process = subprocess.Popen(command, env=os.environ | told, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/v2/repository", timeout=10, trust_env=False) as http:
            until(lambda: _answers(http), 30)
            statuses = [
                http.post(path, headers={} if key is None else {"authorization": f"Bearer {key}"}).status_code
                for path, key in [
                    ("/index", admin),
                    ("/models/classifier/load", infer),
                    ("/models/classifier/unload", None),
                    ("/models/nobody/load", admin),
                ]
            ]
    finally:
        process.terminate()
        assert process.wait(30) == 0
    assert statuses == [200, 403, 401, 404]
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    said = [(line["action"], line["who"], line["outcome"], line["model"]) for line in lines if line["event"] == "audit"]
    assert said == [
        ("repository.index", record.id, "ok", None),
        ("model.load", other.id, "forbidden", "classifier"),
        ("model.unload", "an unknown caller", "unauthorized", "classifier"),
        ("model.load", record.id, "not_found", "nobody"),
    ]
    assert admin not in log.read_text()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("http://127.0.0.1:" + str(http.base_url.port) + "/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("service", ["gateway", "feature_extractor", "classifier"])
def test_a_service_that_would_be_open_to_everyone_does_not_start_unless_told_so(models: Path, service: str) -> None:
    arguments = ("serve", service, "--host", "0.0.0.0", "--port", str(free_port()))  # noqa: S104
    line = one_line(splitway(*arguments, SPLITWAY_MODELS=str(models)))
    assert "from other machines" in line
    assert "SPLITWAY_AUTH=open-to-everyone" in line


def test_a_container_that_is_published_on_loopback_alone_is_not_reached_from_beyond(models: Path) -> None:
    arguments = ("serve", "gateway", "--host", "0.0.0.0", "--port", "1")  # noqa: S104
    published = splitway(*arguments, SPLITWAY_PUBLISHED_ON="192.0.2.1", SPLITWAY_MODELS=str(models))
    assert "from other machines" in one_line(published)


def test_open_to_everyone_and_keys_contradict_each_other(tmp_path: Path) -> None:
    create(tmp_path / "keys.json", "first", ["infer"], "1d")
    told: dict[str, Any] = {"SPLITWAY_AUTH": "open-to-everyone", "SPLITWAY_KEYS_FILE": str(tmp_path / "keys.json")}
    assert "unset one of the two" in one_line(splitway("serve", "gateway", "--port", str(free_port()), **told))


@pytest.mark.parametrize("stage", ["gateway", "feature_extractor", "classifier"])
def test_a_name_that_somebody_made_point_here_is_refused(pipeline: LocalPipeline, stage: str) -> None:
    """DNS rebinding: a web page's own name resolves to 127.0.0.1, and its script asks what only this machine may."""
    url = pipeline.of(stage)[0].url
    for path in ("/livez", "/metrics", "/v1/pipeline", "/v1/stage"):
        refused = httpx.get(url + path, headers={"host": "rebound.example:80"}, trust_env=False)
        assert refused.status_code == 400, path
        assert "SPLITWAY_HOSTS" in refused.text
    assert httpx.get(f"{url}/livez", headers={"host": "localhost:1"}, trust_env=False).status_code == 200
