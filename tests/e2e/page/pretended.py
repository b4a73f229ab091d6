"""A gateway's answers as they can be at their worst: twelve heads, six replicas, eight attempts, long labels, trouble.

They stand in for those of the gateway that serves the page, in the form of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route

Json = dict[str, Any]

SPACE = "fs:61b4d6db79be20bf"
LONG_LABEL = "a living room, a sitting room or a parlour"
HEADS = (
    *("classifier", "animals", "breeds", "indoors_outdoors", "safe_for_work", "picture_quality", "dominant_colour"),
    *("mood", "faces", "scene", "stock_category", "regional_wildlife_monitoring_station_v2"),
)
OUT_OF_REACH = HEADS[-1]
MULTI = "mood"
_VALUES = 60


def wave(middle: float, width: float) -> list[float]:
    """Sixty values of five seconds each, the same each time."""
    return [round(max(0.0, middle + width * math.sin(at / 5 + middle)), 2) for at in range(_VALUES)]


def history(p50_ms: float, per_step: int = 40) -> Json:
    """Five minutes of requests or calls."""
    return {
        "ended": [round(value) for value in wave(per_step, per_step / 4)],
        "failed": [1 if at % 20 == 0 else 0 for at in range(_VALUES)],
        "p50_ms": [None] * 5 + wave(p50_ms, p50_ms / 4)[5:],
        "p99_ms": wave(p50_ms * 4, p50_ms),
        "in_flight": wave(2, 1),
    }


def replica(number: int, model: str, **members: Any) -> Json:
    """One replica, well unless `members` say otherwise."""
    spaces: Json = {"takes": None, "gives": SPACE} if model == "feature_extractor" else {"takes": SPACE, "gives": None}
    return {
        "url": f"http://127.0.0.1:{42000 + number + 100 * (model != 'feature_extractor')}",
        "number": number,
        "state": "ready",
        "reason": None,
        "version": "1",
        "feature_space": SPACE,
        "models": [{"name": model, "version": "1", "state": "ready", "is_default": True, **spaces}],
        "breaker": "closed",
        "breaker_retry_in_s": 0.0,
        "in_flight": number % 2,
        "attempts": {"ok": 64 + number, "unavailable": 1},
        "latency_ms": 16.0 + number,
        "restarts": 0,
        "started_at": "2026-11-30T14:01:12Z",
        "history": history(16.0 + number),
        **members,
    }


def stage(name: str, role: str, replicas: Sequence[Json], p50_ms: float) -> Json:
    """A stage that is ready where one of its replicas is."""
    recent = {"window_s": 10.0, "ended": 97, "failed": 0, "rate_per_s": 9.7, "p50_ms": p50_ms, "p99_ms": p50_ms * 4}
    ready = any(each["state"] == "ready" for each in replicas)
    return {
        "name": name,
        "role": role,
        "ready": ready,
        "retry_budget": 10.0,
        "replicas": [*replicas],
        "recent": recent,
        "history": history(p50_ms),
    }


def head(name: str, **members: Any) -> Json:
    """A head of a thousand labels."""
    outputs = [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 1000]}]
    known = {"name": name, "ready": True, "reason": None, "version": "1", "takes": SPACE, "outputs": outputs}
    return {**known, "unsure_below": 0.5, "threshold": None, **members}


def pipeline(*, heads: Sequence[str] = HEADS[:1], extractors: Sequence[Json] | None = None, **members: Any) -> Json:
    """What `/v1/pipeline` says."""
    lost: Json = {"ready": False, "reason": "takes features that no extractor here gives", "version": None}
    more: dict[str, Json] = {OUT_OF_REACH: lost, MULTI: {"threshold": 0.5, "unsure_below": None}}
    recent = {"window_s": 10.0, "ended": 97, "failed": 1, "rate_per_s": 9.7, "p50_ms": 21.7, "p99_ms": 103.2}
    gateway = {"version": "0.2.0", "uptime_s": 812.3, "requests": {"ok": 12481, "unavailable": 3}, "recent": recent}
    stages = [
        stage("feature_extractor", "extractor", extractors or [replica(n, "feature_extractor") for n in (1, 2)], 17.9),
        stage("classifier", "head", [replica(n, "classifier") for n in (1, 2)], 2.4),
    ]
    return {
        "ready": True,
        "reason": None,
        "history": {"step_s": 5, "values": _VALUES, "until": "2026-11-30T14:02:30Z"},
        "gateway": {**gateway, "history": history(21.7)},
        "admission": {"limit": 12, "in_flight": 3, "queued": 0, "turned_away": {}},
        "heads": [head(name, **more.get(name, {})) for name in heads],
        "releases": {"current": None, "canary": None, "shadow": None, "releases": {}, "background": {"running": 0}},
        "stages": stages,
        **members,
    }


def six() -> list[Json]:
    """Six replicas, one of which is not ready."""
    waiting: Json = {"state": "not_ready", "reason": "warming up: 2 of 3 batch sizes done"}
    return [replica(n, "feature_extractor", **(waiting if n == 5 else {})) for n in range(1, 7)]


def broken() -> list[Json]:
    """Six replicas in every kind of trouble."""
    gone: Json = {"state": "unreachable", "reason": "connection refused", "latency_ms": None, "restarts": 2}
    open_: Json = {"breaker": "open", "breaker_retry_in_s": 10.4, "attempts": {"ok": 58, "bad_stage_answer": 6}}
    half: Json = {"breaker": "half_open", "restarts": 1}
    return [
        replica(n, "feature_extractor", **{1: gone, 2: open_, 3: half}.get(n, {}))  # the others are well
        for n in range(1, 7)
    ]


def releases() -> Json:
    """A canary of a tenth."""
    july = {"extractor": "1", "heads": {"classifier": "1"}, "feature_space": SPACE, "served": True, "requests": 12481}
    august = {**july, "extractor": "2", "heads": {"classifier": "2"}, "requests": 1377}
    current = {"part": "current", "share": 90, "error_share": 0.0011, "compared": 0, "agreement": None, "drift": None}
    trial = {"part": "canary", "share": 10, "error_share": 0.0015, "compared": 140, "agreement": 0.914, "drift": 0.021}
    return {
        "current": "july",
        "canary": {"release": "august", "percent": 10, "since": "2026-11-30T13:00:00Z"},
        "shadow": None,
        "releases": {"july": july | current, "august": august | trial},
        "background": {"running": 0},
    }


def call(start_ms: float, ms: float, outcome: str = "ok", number: int = 1, **members: Any) -> Json:
    """One attempt."""
    known = {"number": number, "replica": number, "is_hedge": False, "start_ms": start_ms, "ms": ms}
    return {**known, "outcome": outcome, **members}


def entry(name: str, attempts: Sequence[Json], *, takes: Sequence[str] = (), outcome: str = "ok") -> Json:
    """An entry of a time line around its attempts."""
    start_ms = attempts[0]["start_ms"]
    ms = max(each["start_ms"] + each["ms"] for each in attempts) - start_ms
    known = {"stage": name, "head": name if takes else None, "takes": [*takes], "cache": None, "start_ms": start_ms}
    return {**known, "ms": ms, "outcome": outcome, "attempts": [*attempts]}


def eight_attempts() -> list[Json]:
    """A time line with all that can happen to a call."""
    tried = [
        call(0.4, 3.1, "unavailable"),
        call(12, 240, "deadline_exceeded", 2),
        call(130, 122, "cancelled", 3, is_hedge=True),
        call(272, 34, "bad_stage_answer", 4),
        call(330, 182, "ok", 5),
    ]
    again = [
        call(513, 250, "deadline_exceeded"),
        call(640, 64, "overloaded", 2, is_hedge=True),
        call(784, 216, "cancelled", 3),
    ]
    last = entry("classifier", again, takes=["feature_extractor"], outcome="deadline_exceeded")
    return [entry("feature_extractor", tried), last]


_PARTS = {"queue": 0.3, "decode": 2.1, "compute": 8.6, "network": 2.4, "total": 13.4}
_HEAD_PARTS = {"queue": 0.2, "decode": 0.0, "compute": 0.7, "network": 1.1, "total": 2.0}


def classes(name: str) -> Json:
    """Five classes, the last of which has a long label."""
    at = HEADS.index(name) if name in HEADS else 0
    first = LONG_LABEL if name in ("scene", "animals") else f"label {at}"
    labels = [(first, 0.38 if at % 3 == 0 else 0.91), ("Egyptian cat", 0.2), ("tabby", 0.06), (LONG_LABEL, 0.03)]
    predictions = [{"label": label, "index": n, "confidence": share} for n, (label, share) in enumerate(labels)]
    return {"label": first, "confidence": predictions[0]["confidence"], "predictions": predictions}


def multi() -> Json:
    """What a multi-label head gives."""
    sure = [("alert", 0.93), ("curious about what comes next", 0.61)]
    predictions = [{"label": label, "index": n, "confidence": share} for n, (label, share) in enumerate(sure)]
    return {"label": "alert", "confidence": 0.93, "predictions": predictions, "multi_label": True, "threshold": 0.5}


def classified(names: Sequence[str], release: str | None = None) -> tuple[int, Json]:
    """The answer of `/v1/classify` of these heads."""
    entries: dict[str, Json] = {}
    timeline = [entry("feature_extractor", [call(0.3, 13.4)])]
    for at, name in enumerate(names):
        if name == OUT_OF_REACH:
            problem = {"code": "unavailable", "title": "Unavailable", "status": 503, "detail": "no replica is ready"}
            entries[name] = {"status": 503, "error": problem}
            tried = [call(14, 0.9, "unavailable"), call(15.3, 0.9, "unavailable", 2)]
            timeline.append(entry(name, tried, takes=["feature_extractor"], outcome="unavailable"))
            continue
        given = multi() if name == MULTI else classes(name)
        entries[name] = {"status": 200, **given, "version": "1", "timings_ms": _HEAD_PARTS}
        timeline.append(entry(name, [call(13.9, 1.4 + at % 4 / 2)], takes=["feature_extractor"]))
    model = {"feature_extractor": "1", "feature_space": SPACE} | ({"release": release} if release else {})
    status = 207 if OUT_OF_REACH in names else 200
    timings = {"feature_extractor": _PARTS, "total": 19.4}
    id_ = "9be0c2f41d5f4a7d8f1f6a8e5b7c3d20"
    return status, {"id": id_, "heads": entries, "model": model, "timings_ms": timings, "timeline": timeline}


def failed() -> tuple[int, Json]:
    """A request that was tried eight times."""
    problem = {
        "code": "deadline_exceeded",
        "title": "Time is up",
        "status": 504,
        "detail": "classifier: no answer within 1000 ms",
        "stage": "classifier",
        "retryable": True,
        "id": "c04b1d0b51a74f6f9f3f2f8f4be1a002",
    }
    return 504, {**problem, "timeline": eight_attempts(), "timings_ms": {"total": 1000.2}}


def asked() -> list[Json]:
    """Twenty requests, newest first."""
    known: Json = {"route": "/v1/classify", "kind": "image", "release": None, "part": "current", "cache": None}
    found = []
    for n in range(20):
        said = {"name": "classifier", "version": "1", "label": LONG_LABEL if n == 2 else f"label {n}"}
        heads = [{**said, "confidence": 0.3 if n % 4 == 1 else 0.9, "code": None}]
        timeline = [entry("feature_extractor", [call(0.3, 9.0 + n)])]
        timeline.append(entry("classifier", [call(10.0 + n, 2.0)], takes=["feature_extractor"]))
        problem = None
        if n == 5:
            problem, heads, timeline = {"code": "deadline_exceeded", "title": "Time is up"}, [], eight_attempts()
        times = {"total": 1000.2 if n == 5 else 13.0 + n, "feature_extractor": _PARTS, "classifier": _HEAD_PARTS}
        when = f"2026-11-30T14:02:{59 - n:02}.204Z"
        own = {"id": f"{n:032x}", "at": when, "outcome": "ok" if n != 5 else "deadline_exceeded", "heads": heads}
        found.append({**known, **own, "problem": problem, "timings_ms": times, "timeline": timeline})
    return found


def pretend(page: Page, status: Json, *, fails: bool = False, requests: Sequence[Json] = ()) -> None:
    """Have the page see this pipeline, whichever heads it asks."""

    def classify(route: Route) -> None:
        names = parse_qs(urlsplit(route.request.url).query).get("heads", ["classifier"])[0]
        heads = [each["name"] for each in status["heads"]] if names == "*" else names.split(",")
        canary = route.request.headers.get("x-splitway-canary")
        release = {"never": "july", "always": "august"}.get(canary or "")
        code, content = failed() if fails else classified(heads, release)
        if canary == "always":
            content["heads"]["classifier"]["predictions"] = classes("classifier")["predictions"][1:]
        route.fulfill(status=code, json=content)

    page.route("**/v1/pipeline*", lambda route: route.fulfill(json=status))
    page.route("**/v1/requests", lambda route: route.fulfill(json={"requests": [*requests]}))
    page.route("**/v1/classify*", classify)
