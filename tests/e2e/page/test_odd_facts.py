"""The page before facts that are rare: refused callers, named pipelines, a gateway that fails, or is another by now."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Route, expect

from splitway.local.launch import LocalPipeline
from tests.e2e.page import pretended
from tests.e2e.page.accessibility import findings
from tests.e2e.page.browser import View
from tests.e2e.page.conftest import Open

DESK = {"width": 1280, "height": 800}


def _fails(route: Route) -> None:
    route.fulfill(status=503, json={"code": "unavailable", "status": 503, "detail": "nothing is here"})


def test_what_a_caller_did_wrong_is_calm_and_what_the_pipeline_did_is_red(view: View) -> None:
    requests = pretended.asked()[:4]
    for request, outcome in zip(requests, ("invalid_input", "caller_deadline", "unavailable", "ok"), strict=True):
        request["outcome"] = outcome
    requests[0]["timeline"] = [pretended.entry("feature_extractor", [pretended.call(0.3, 9, "invalid_input")])]
    requests[3]["heads"].append({**requests[3]["heads"][0], "name": "mood", "label": None, "code": "engine_failed"})
    pretended.pretend(view.page, pretended.pipeline(), requests=requests)
    rows = view.page.locator("#recent > li")
    expect(rows).to_have_count(4)
    assert [rows.nth(at).locator(".clip").inner_text() for at in range(4)] == [
        "refused the input",
        "caller's time was up",
        "\u00d7 unavailable",
        "\u00d7 model failed and 1 more",
    ]
    rows.nth(0).locator("summary").click()
    expect(rows.nth(0).locator(".lane.attempt")).to_contain_text("refused the input")
    assert [rows.nth(at).locator(".bad, .failed").count() for at in range(4)] == [0, 0, 1, 1]


def test_commands_name_the_pipeline_and_its_folder(view: View) -> None:
    named: dict[str, Any] = {"launched": {"name": "two", "models": "/srv/it's mine"}, "releases": pretended.releases()}
    pretended.pretend(view.page, pretended.pipeline(extractors=pretended.broken(), **named))
    view.page.get_by_role("region", name="Trouble").wait_for()
    assert view.page.locator(".cmd code").all_inner_texts() == [
        "splitway logs feature_extractor --name two",
        "splitway doctor --name two",
        r"splitway release promote august --models '/srv/it'\''s mine'",
        r"splitway release rollback --models '/srv/it'\''s mine'",
    ]


@pytest.mark.parametrize("viewport", [DESK, {"width": 320, "height": 640}], ids=["desk", "phone"])
def test_heads_of_two_releases_open_by_keyboard_and_a_label_without_end_is_cut(
    open_page: Open, pipeline: LocalPipeline, viewport: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = {"label": "\u202e" + "שלום" * 100, "index": 3, "confidence": 0.01}
    usual = pretended.classes("animals")["predictions"]
    monkeypatch.setattr(pretended, "classes", lambda _: {"predictions": [*usual[:3], endless]})
    view = open_page(pipeline.gateway.url, viewport=viewport)
    status = pretended.pipeline(heads=["classifier", "animals"], releases=pretended.releases())
    pretended.pretend(view.page, status)
    view.page.get_by_label("Compare with the canary").check()
    view.page.get_by_role("checkbox", name="animals").check()
    view.ask()
    animals = view.page.get_by_role("button", name="animals")
    animals.press("Enter")
    expect(animals).to_be_focused()
    expect(animals).to_have_attribute("aria-expanded", "true")
    further = view.page.locator(".further .label")
    expect(further).to_have_count(3)
    expect(further.first).to_contain_text("Egyptian cat20.0\u202f% / 20.0\u202f%")
    box = further.last.bounding_box()
    assert box is not None
    assert box["height"] < 100
    assert findings(view) == []
    assert not view.is_too_wide


def test_a_gateway_that_failed_and_comes_back_with_another_model_is_asked_what_it_takes(view: View) -> None:
    for each in ("**/v1/**", "**/v2/**", "**/page/about.json"):
        view.page.route(each, _fails)
    view.page.reload()
    expect(view.page.locator("#state")).to_have_text("The gateway does not answer")
    expect(view.page.locator("#drop")).to_be_visible()
    view.page.unroute_all()
    expect(view.page.locator(".sample")).to_have_count(3)
    view.page.route("**/v1/pipeline*", _fails)
    expect(view.page.locator("#state")).to_have_text("The gateway does not answer")
    inputs = [{"name": f"column_{number}", "datatype": "FP32", "shape": [-1, 1]} for number in range(40)]
    view.page.route("**/v2/models/pipeline", lambda route: route.fulfill(json={"name": "pipeline", "inputs": inputs}))
    view.page.unroute("**/v1/pipeline*")
    expect(view.page.get_by_role("spinbutton")).to_have_count(40)
    expect(view.page.locator(".sample")).to_have_count(0)
    assert not [said for said in view.complaints if "Failed to load" not in said]
