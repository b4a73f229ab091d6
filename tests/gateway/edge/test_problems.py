from __future__ import annotations

import json

import pytest

from splitway.errors import RateLimited
from splitway.gateway.edge.problems import refuse


@pytest.mark.parametrize("path", ["/v2", "/v2/models/pipeline/infer", "/v2/%zz"])
def test_what_never_became_a_request_is_refused_as_the_protocol_says(path: str) -> None:
    media_type, body = refuse(RateLimited("too many"), 429, path)
    assert (media_type, json.loads(body)) == ("application/json", {"error": "too many"})


@pytest.mark.parametrize("path", ["", "/v1/classify", "/v20"])
def test_elsewhere_it_is_refused_with_problem_details(path: str) -> None:
    media_type, body = refuse(RateLimited("too many"), 431, path)
    assert media_type == "application/problem+json"
    assert (json.loads(body)["code"], json.loads(body)["status"]) == ("rate_limited", 431)
