"""Four hundred requests, good and bad: all routes but the documents and the page. One is sent after the other."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import replace

from benchmarks.answers.classify import classifications
from benchmarks.answers.inference import infer, inferences, tensor
from benchmarks.answers.pictures import cat
from benchmarks.answers.recorded import CLASSIFY, INFER, METADATA, Recorded
from benchmarks.answers.setups import KEYS, SERVICE_TOKEN, UNKNOWN_KEY


def _routes() -> Iterable[Recorded]:
    got = ["/livez", "/readyz", "/v1/pipeline", "/v2", "/v2/", "/v2/health/live", "/v2/health/ready", METADATA]
    got += [f"{METADATA}/ready", f"{METADATA}/versions/1", f"{METADATA}/versions/2", f"{METADATA}/versions/1/ready"]
    got += ["/v2/models/nosuch", "/v2/models/nosuch/ready", "/v2/models", "/v2/repository/index", "/v1/stage", "/v1"]
    got += ["/nosuch", "/v1/classify/", "//livez", "/livez/", "/livez?a=b", "/%6civez", "/livez%00", "/livez/../livez"]
    got += ["/metrics", "*", "livez", "http://localhost/livez"]
    for target in got:
        yield Recorded(f"GET {target}", "GET", target, {})
    methods = {
        CLASSIFY: ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "FOO"),
        INFER: ("GET", "DELETE"),
        "/livez": ("HEAD", "POST", "OPTIONS"),
        "/v1/pipeline": ("HEAD", "POST", "DELETE"),
        "/metrics": ("HEAD", "POST"),
        METADATA: ("HEAD", "POST"),
        "/nosuch": ("POST", "HEAD"),
    }
    for target, several in methods.items():
        for method in several:
            yield Recorded(f"{method} {target}", method, target, {})


def _keys() -> Iterable[Recorded]:
    shown = {name: f"Bearer {key}" for name, (key, _) in KEYS.items()} | {
        "none": "",
        "unknown": f"Bearer {UNKNOWN_KEY}",
        "nonsense": "Bearer nonsense",
        "basic": "Basic YTpi",
        "nothing behind Bearer": "Bearer",
    }
    targets = {CLASSIFY: "POST", "/v1/pipeline": "GET", "/metrics": "GET", "/livez": "GET", "/nosuch": "GET"}
    for who, authorization in shown.items():
        for target, method in targets.items() if who in ("all", "infer", "metrics", "none") else [(CLASSIFY, "POST")]:
            body = cat() if method == "POST" else b""
            headers = {"content-type": "image/jpeg", "authorization": authorization}
            yield Recorded(f"key {who}: {target}", method, target, headers, body, "closed")
    poor = {"content-type": "image/jpeg", "authorization": shown["poor"]}
    yield Recorded("key poor, once more", "POST", CLASSIFY, poor, cat(), "closed")
    yield Recorded(
        "key poor, in the protocol", "POST", INFER, {**poor, "content-type": "application/json"}, b"{}", "closed"
    )
    yield Recorded(
        "key infer: repository", "POST", "/v2/repository/index", {"authorization": shown["infer"]}, b"", "closed"
    )
    for name, token in {"no token": "", "another token": "a" * 40, "the token": SERVICE_TOKEN}.items():
        headers = {"authorization": f"Bearer {token}" if token else "", "x-service-token": token}
        yield Recorded(f"a stage, {name}", "GET", "/v1/stage", headers, setup="closed", to="classifier")


def _of_releases() -> Iterable[Recorded]:
    for name, value in {
        "x-splitway-release": ("blue", "green", "unused", "nosuch", "a" * 100),
        "x-splitway-canary": ("never", "always", "nonsense"),
        "x-splitway-key": ("one", "two"),
        "accept": ("*/*",),
    }.items():
        for each in value:
            headers = {"content-type": "image/jpeg", name: each}
            yield Recorded(f"releases, {name}: {each[:20]}", "POST", CLASSIFY, headers, cat(), "releases")
    green = {"inputs": [tensor([base64.b64encode(cat()).decode()])]}
    yield replace(infer("of a release", green, x_splitway_release="green"), setup="releases")
    for target in ("/v1/pipeline", "/readyz", METADATA):
        yield Recorded(f"releases, {target}", "GET", target, {}, setup="releases")


def _in_trouble() -> Iterable[Recorded]:
    """Two heads of which neither is the default one; a gateway whose stages are not there."""
    jpeg = {"content-type": "image/jpeg"}
    for setup in ("heads", "alone"):
        for query in ("", "?heads=plants", "?heads=*", "?heads=classifier", "?timeline=true"):
            yield Recorded(f"{setup}, {query or 'no query'}", "POST", CLASSIFY + query, jpeg, cat(), setup)
        for target in ("/readyz", "/v1/pipeline", METADATA, "/v2/health/ready"):
            yield Recorded(f"{setup}, {target}", "GET", target, {}, setup=setup)


def all_requests() -> list[Recorded]:
    """All of them, in their order."""
    groups = (classifications, inferences, _routes, _keys, _of_releases, _in_trouble)
    return [request for group in groups for request in group()]
