"""The outcome of a request, as callers, metrics and log read it."""

from __future__ import annotations

from splitway.errors import NotFound
from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.fleet.router import Pins
from splitway.gateway.flow.feature_cache import CacheResult
from splitway.gateway.flow.request import Result
from splitway.gateway.hop.turn import HopAnswer, HopTimings
from splitway.gateway.rollout.rollout import Choice, ReleaseRole
from splitway.names import Role
from splitway.releases import Release
from splitway.wire.messages import InferResponse


def _hop(name: str, role: Role, gives: str | None, total_s: float, attempts: int = 1) -> HopAnswer:
    model = ServedModel(name, "1", role, True, "ready", None, gives, (), ())
    return HopAnswer(model, InferResponse(name, "1", ()), HopTimings(0.0, 0.0, total_s, 0.0, total_s), attempts)


FREE = Choice()


def _result(cache: CacheResult | None = None, choice: Choice = FREE) -> Result:
    before = {
        "feature_extractor": _hop("feature_extractor", "extractor", "fs:a", 0.5, attempts=2),
        "body_1": _hop("body_1", "body", "fs:b", 0.25),
    }
    heads = {"classifier": _hop("classifier", "head", None, 0.1), "pets": _hop("pets", "head", None, 0.2)}
    return Result(choice, before, cache, heads, {"digits": NotFound("there is no head 'digits'")})


def test_the_heads_were_given_the_last_space_before_them() -> None:
    assert _result().feature_space == "fs:b"


def test_the_caller_waited_for_the_slowest_head_alone() -> None:
    assert [hop.total for hop in _result().longest] == [0.5, 0.25, 0.2]
    assert list(_result().hops) == ["feature_extractor", "body_1", "classifier", "pets"]


def test_the_headers_beside_an_answer() -> None:
    assert _result().headers == {"x-attempt-count": "2"}
    pins = Pins("spring", Release(extractor="1", heads={"classifier": "1"}, feature_space="fs:a", created="now"))
    of_release = _result(CacheResult.HIT, Choice(ReleaseRole.CURRENT, pins))
    assert of_release.headers == {
        "x-attempt-count": "2",
        "x-splitway-release": "spring",
        "cache-status": "splitway; hit",
    }
