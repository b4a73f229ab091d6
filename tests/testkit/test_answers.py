"""The comparison of answers: what a difference is, and what is set aside."""

from __future__ import annotations

import json
from typing import Any

import pytest

from testkit.answers import Answer, differences, essence

MADE_ID, ANOTHER_ID = "0" * 32, "f" * 32
CONTENT: dict[str, Any] = {
    "id": MADE_ID,
    "label": "cat",
    "confidence": 0.4,
    "predictions": [{"label": "cat", "index": 285}],
    "timings_ms": {"classifier": {"queue": 0.1}, "total": 1.0},
    "timeline": [{"start_ms": 0.0, "ms": 1.0, "attempts": [{"replica": "http://127.0.0.1:8081"}]}],
    "detail": "the picture is empty",
}
JSON = ("content-type", "application/json")


def answer(content: Any = CONTENT, status: int = 200, **headers: str) -> Answer:
    more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(status, (JSON, *more), json.dumps(content).encode())


def found(before: Answer, after: Answer) -> list[str]:
    return differences(essence(before), essence(after))


def with_(path: str, value: Any) -> dict[str, Any]:
    """The content with another value at a place."""
    content = json.loads(json.dumps(CONTENT))
    *way, last = [int(name) if name.isdigit() else name for name in path.split("/")]
    part: Any = content
    for name in way:
        part = part[name]
    part[last] = value
    return dict(content)


ASIDE: dict[str, tuple[str, Any]] = {
    "an id": ("id", ANOTHER_ID),
    "a time": ("timings_ms/classifier/queue", 9.5),
    "a time of the time line": ("timeline/0/ms", 9.5),
    "a place": ("timeline/0/attempts/0/replica", "http://127.0.0.1:9999"),
    "a sentence": ("detail", "there is no picture"),
}


@pytest.mark.parametrize(("path", "value"), ASIDE.values(), ids=ASIDE.keys())
def test_what_may_differ_is_set_aside(path: str, value: Any) -> None:
    assert found(answer(), answer(with_(path, value))) == []


PLANTED: dict[str, tuple[str, Any]] = {
    "a label": ("label", "dog"),
    "a number's last digit": ("confidence", 0.40000001),
    "a number that was a text": ("confidence", "0.4"),
    "an index": ("predictions/0/index", 286),
    "one prediction more": ("predictions", [{"label": "cat", "index": 285}] * 2),
    "a field": ("more", None),
    "a time under another name": ("timings_ms", {"head": {"queue": 0.1}, "total": 1.0}),
    "no sentence": ("detail", None),
}


@pytest.mark.parametrize(("path", "value"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_difference_is_found(path: str, value: Any) -> None:
    assert found(answer(), answer(with_(path, value)))


def test_a_difference_names_its_place_and_both_values() -> None:
    assert found(answer(), answer(with_("label", "dog"))) == ["/content/label: 'cat' before, 'dog' after"]
    assert found(answer(), answer(status=503)) == ["/status: 200 before, 503 after"]


def test_headers_are_compared_without_their_times() -> None:
    timed = answer(server_timing="classifier.queue;dur=0.1, total;dur=1", retry_after="1", date="today")
    later = answer(server_timing="classifier.queue;dur=1e-3, total;dur=9", retry_after="2", date="tomorrow")
    assert found(timed, later) == []
    assert found(timed, answer(server_timing="total;dur=1", retry_after="1"))
    assert found(answer(), answer(cache_control="no-store"))
    assert found(answer(x_request_id="mine"), answer(x_request_id="yours"))


def test_the_version_of_splitway_is_set_aside_and_those_of_models_are_not() -> None:
    def product(version: str) -> Answer:
        return answer({"version": version, "extensions": []})

    assert found(product("0.1.0"), product("0.2.0")) == []
    assert found(answer({"version": "1"}), answer({"version": "2"}))


def binary(head: dict[str, Any], tensors: bytes) -> Answer:
    encoded = json.dumps(head).encode()
    headers = (("content-type", "application/octet-stream"), ("inference-header-content-length", str(len(encoded))))
    return Answer(200, headers, encoded + tensors)


def test_the_bytes_of_tensors_are_compared() -> None:
    assert found(binary({"id": "a"}, b"ab"), binary({"id": "a"}, b"ab")) == []
    assert found(binary({"id": "a"}, b"ab"), binary({"id": "a"}, b"ac"))
    assert found(binary({"id": "a"}, b"ab"), binary({"id": "b"}, b"ab"))


def metrics(text: str) -> Answer:
    return Answer(200, (("content-type", "text/plain; version=1.0.0"),), text.encode())


def test_metrics_are_compared_by_name_type_and_labels() -> None:
    before = metrics('# HELP a_total A.\n# TYPE a_total counter\na_total{head="b"} 1.0\n')
    assert found(before, metrics('# HELP a_total B.\n# TYPE a_total counter\na_total{head="c"} 2.0\n')) == []
    assert found(before, metrics('# TYPE a_total gauge\na_total{head="b"} 1.0\n'))
    assert found(before, metrics('# TYPE a_total counter\na_total{stage="b"} 1.0\n'))
    assert found(before, metrics('# TYPE b_total counter\nb_total{head="b"} 1.0\n'))
