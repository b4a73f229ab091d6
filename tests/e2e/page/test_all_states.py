"""The page at its worst: twelve heads, six replicas, eight attempts, long labels, trouble; on desk and phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from splitway.local.launch import LocalPipeline
from tests.e2e.page import pretended
from tests.e2e.page.accessibility import findings
from tests.e2e.page.browser import View
from tests.e2e.page.conftest import Open

DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
_OPEN_ALL = "all => all.forEach((summary) => { summary.parentElement.open = true; })"
Page = Callable[[View], None]


def _heads(view: View) -> None:
    status = pretended.pipeline(heads=pretended.HEADS, extractors=pretended.six())
    pretended.pretend(view.page, status, requests=pretended.asked())
    view.page.get_by_role("button", name="All").click()
    view.ask()
    view.page.locator("#says-scene").click()


def _canary(view: View) -> None:
    pretended.pretend(view.page, pretended.pipeline(releases=pretended.releases()), requests=pretended.asked())
    view.page.get_by_label("Compare with the canary").check()
    view.ask()
    expect(view.page.locator("#best")).to_contain_text("They differ")


def _trouble(view: View) -> None:
    status = pretended.pipeline(extractors=pretended.broken())
    pretended.pretend(view.page, status, fails=True, requests=pretended.asked())
    view.page.get_by_role("region", name="Trouble").wait_for()
    view.ask()
    expect(view.page.locator("#score .attempt")).to_have_count(8)


@pytest.mark.parametrize("state", [_heads, _canary, _trouble])
@pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "dark"), (PHONE, "light")], ids=["desk", "phone"])
def test_every_state_opened_keeps_nobody_out_and_fits(
    open_page: Open, pipeline: LocalPipeline, state: Page, viewport: dict[str, int], scheme: str
) -> None:
    view = open_page(pipeline.gateway.url, viewport=viewport, color_scheme=scheme)
    state(view)
    view.page.locator("#recent > li").nth(19).wait_for()
    view.page.locator("summary").evaluate_all(_OPEN_ALL)
    assert findings(view) == []
    assert not view.is_too_wide
    if viewport == DESK:
        bottom = view.page.locator("#score .lane").nth(5).bounding_box()
        assert bottom is not None
        assert bottom["y"] < DESK["height"], "the time line is above the fold"
    assert view.violations == []


def test_below_its_mark_a_head_is_not_sure_and_a_multi_label_head_gives_all_above(view: View) -> None:
    status = pretended.pipeline(heads=["classifier", pretended.MULTI])
    pretended.pretend(view.page, status)
    view.page.get_by_role("checkbox", name=pretended.MULTI).wait_for()
    view.ask()
    expect(view.page.locator("#best")).to_contain_text("not sure: less than 50\u202f%")
    view.page.get_by_role("button", name="not sure").hover()
    expect(view.page.get_by_role("tooltip")).to_contain_text("less than the mark")
    view.page.keyboard.press("Escape")
    expect(view.page.get_by_role("tooltip")).to_be_hidden()
    view.page.get_by_role("checkbox", name=pretended.MULTI).check()
    view.page.get_by_role("checkbox", name="classifier").uncheck()
    expect(view.page.locator(".best")).to_have_text("alert, curious about what comes next")
    expect(view.page.locator("#best")).to_contain_text("2 labels of 50\u202f% or more")


def test_what_a_gateway_says_is_text_and_nothing_else(view: View) -> None:
    evil = "<img src=x onerror=alert(1)>"
    status = pretended.pipeline(heads=["classifier", evil])
    pretended.pretend(view.page, status)
    view.page.get_by_role("checkbox", name=evil).check()
    view.page.get_by_role("checkbox", name="classifier").uncheck()
    view.ask()
    expect(view.page.locator("#score .attempt .name").last).to_have_text(evil)
    assert view.page.locator("img[src=x]").count() == 0
    view.page.get_by_role("button", name="curl", exact=True).click()
    expect(view.page.locator("#snippet")).to_contain_text("heads=%3Cimg%20src%3Dx")


def test_an_opened_replica_stays_open_and_focused_while_others_come_before_it(view: View) -> None:
    status = pretended.pipeline(extractors=pretended.six())
    pretended.pretend(view.page, status)
    opened = view.page.locator(".replica").filter(has_text="127.0.0.1:42003")
    opened.locator("summary").press("Enter")
    opened.get_by_text("Breaker").wait_for()
    view.page.unroute("**/v1/pipeline*")
    pretended.pretend(view.page, pretended.pipeline(extractors=pretended.broken()))
    expect(view.page.locator(".replica").first).to_contain_text("unreachable")
    expect(opened).to_contain_text("half open")
    expect(opened.get_by_text("Breaker", exact=True)).to_be_visible()
    expect(opened.locator("summary")).to_be_focused()


def test_what_a_forgotten_key_showed_is_drawn_again_with_the_next(view: View) -> None:
    status = pretended.pipeline(extractors=pretended.broken(), releases=pretended.releases())
    pretended.pretend(view.page, status)
    shown = [view.page.get_by_role("region", name="Trouble"), view.page.get_by_role("group", name="Releases")]
    for part in shown:
        part.wait_for()
    refused = {"code": "unauthorized", "detail": "no key"}
    view.page.route("**/v1/pipeline*", lambda route: route.fulfill(status=401, json=refused), times=1)
    view.key_field.wait_for()
    for part in shown:
        expect(part).to_be_hidden()
    view.give_key("any")
    for part in shown:
        expect(part).to_be_visible()
    expect(view.replicas).to_have_count(8)


def test_requests_that_callers_gave_one_id_are_as_many_as_the_gateway_says(view: View) -> None:
    once = {**pretended.asked()[0], "id": "same"}
    status = pretended.pipeline()
    pretended.pretend(view.page, status, requests=[once, once])
    rows = view.page.locator("#recent > li")
    for number in range(3):
        with view.page.expect_response("**/v1/requests"):
            status["gateway"]["requests"] = {"ok": number}
            view.ask()
    expect(rows).to_have_count(2)


def test_of_more_heads_than_can_be_named_all_are_asked_and_the_picked_ones_shown(view: View) -> None:
    pretended.pretend(view.page, pretended.pipeline(heads=[f"head_{n}" for n in range(20)]))
    view.page.get_by_role("checkbox", name="head_19").wait_for()
    view.page.get_by_role("button", name="All").click()
    view.page.get_by_role("checkbox", name="head_19").uncheck()
    with view.page.expect_request("**/v1/classify?heads=*&timeline=true"):
        view.ask()
    expect(view.page.locator(".best")).to_have_text("19 answers")
