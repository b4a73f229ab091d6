"""The page works by keyboard, by screen reader, in dark and light, on a phone; it is fast and keeps to itself."""

from __future__ import annotations

from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import FilePayload, Route, expect

from splitway.local.launch import LocalPipeline
from tests.e2e.page.accessibility import PHONE, findings
from tests.e2e.page.browser import CAT, View
from tests.e2e.page.conftest import Open

PAINTED_WITHIN_MS = 1000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 800}, PHONE], ids=["desk", "phone"])
def test_nothing_keeps_anybody_out(
    open_page: Open, pipeline: LocalPipeline, scheme: str, viewport: dict[str, int]
) -> None:
    view = open_page(pipeline.gateway.url, color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    assert findings(view) == [], "before anything is asked"
    view.ask()
    assert findings(view) == [], "with labels, a time line and numbers"
    view.page.route("**/v1/classify*", lambda route: route.abort())
    view.page.get_by_role("button", name="cat", exact=True).click()
    view.error.get_by_role("button").wait_for()
    view.page.route("**/v1/pipeline*", lambda route: route.abort())
    view.page.locator("#state[data-state=silent]").wait_for()
    assert findings(view) == [], "with errors"


def test_the_finder_of_faults_finds_one(view: View) -> None:
    view.page.evaluate("(one => { one.title = ''; one.firstChild.alt = ''; })(document.querySelector('.sample'))")
    assert [finding.split(":")[0] for finding in findings(view)] == ["button-name"]


def test_dark_and_light_differ(open_page: Open, pipeline: LocalPipeline) -> None:
    def paper(scheme: str) -> str:
        view = open_page(pipeline.gateway.url, color_scheme=scheme)
        return str(view.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert (paper("light"), paper("dark")) == ("rgb(247, 248, 246)", "rgb(14, 18, 17)")


def _with_long_names(route: Route) -> None:
    """The pipeline as it would be with five stages, far away and in trouble."""
    pipeline = route.fetch().json()
    (replica,) = pipeline["stages"][0]["replicas"]
    far = {"url": f"http://{'feature-extractor.' * 4}svc.cluster.local:8081", "reason": "cannot be reached " * 9}
    stages = [{**pipeline["stages"][0], "name": f"body_{n}", "replicas": [{**replica, **far}] * 2} for n in range(4)]
    route.fulfill(json={**pipeline, "stages": [*pipeline["stages"], *stages], "ready": False, "reason": "x" * 200})


@pytest.mark.parametrize("width", [320, 360, 768, 1100, 1280])
def test_nothing_is_wider_than_the_screen(open_page: Open, pipeline: LocalPipeline, width: int) -> None:
    view = open_page(pipeline.gateway.url, viewport={"width": width, "height": 740}, has_touch=True)
    assert not view.is_too_wide
    view.ask()
    assert not view.is_too_wide
    view.page.route("**/v1/pipeline*", _with_long_names)
    view.page.get_by_text("body_3").first.wait_for()
    assert not view.is_too_wide
    problem = {"detail": "x" * 400, "id": "y" * 128}
    view.page.route("**/v1/classify*", lambda route: route.fulfill(status=400, json=problem))
    view.ask()
    assert not view.is_too_wide
    view.page.unroute_all(behavior="wait")


def test_the_keyboard_alone_is_enough(view: View, cat: bytes) -> None:
    page = view.page
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the stages")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Tab")
    expect(page.locator("#file")).to_be_focused()
    assert page.locator("#drop").evaluate("label => getComputedStyle(label).outlineStyle") == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(FilePayload(name="cat.jpg", mimeType="image/jpeg", buffer=cat))
    expect(page.locator(".best")).to_have_text(CAT)
    for _ in range(2):
        page.keyboard.press("Tab")
    sample = page.get_by_role("button", name="coffee", exact=True)
    expect(sample).to_be_focused()
    assert sample.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator(".best")).to_have_text("espresso")
    skip.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Stages")).to_be_focused()


def test_focus_stays_while_the_pipeline_is_drawn_again(view: View) -> None:
    view.page.get_by_role("log").focus()
    for _ in range(2):
        with view.page.expect_response("**/v1/pipeline*"):
            pass
    expect(view.page.get_by_role("log")).to_be_focused()


def test_a_screen_reader_finds_its_way(view: View) -> None:
    view.ask()
    page = view.page
    for landmark in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    for region in ("You send", "It answers", "The last five minutes", "Stages", "The last twenty requests"):
        expect(page.get_by_role("region", name=region)).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text(f"{CAT}, 40.0\u202f%, in ")
    chooser = page.get_by_role("button", name="Choose a picture", exact=True)
    expect(chooser).to_have_accessible_description("or drop or paste one here: JPEG, PNG or WebP")
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map((heading) => Number(heading.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels


def test_who_wants_no_motion_sees_none(open_page: Open, pipeline: LocalPipeline) -> None:
    view = open_page(pipeline.gateway.url, reduced_motion="reduce")
    moving = view.page.locator("*").evaluate_all(
        """all => all.filter((element) => { const style = getComputedStyle(element);
            return parseFloat(style.transitionDuration) > 0 || style.animationName !== "none"; }).length"""
    )
    assert moving == 0


def test_the_page_is_painted_soon_and_asks_nobody_else(view: View, pipeline: LocalPipeline) -> None:
    view.ask()
    paints = view.page.evaluate("performance.getEntriesByType('paint').map((paint) => [paint.name, paint.startTime])")
    print(paints)
    assert dict(paints)["first-contentful-paint"] < PAINTED_WITHIN_MS
    assert view.complaints == []
    assert view.violations == []
    hosts = {urlsplit(url).netloc for url in view.requested if not url.startswith("blob:")}
    assert hosts == {urlsplit(pipeline.gateway.url).netloc}


def test_its_own_policy_lets_nothing_foreign_in(view: View) -> None:
    view.page.evaluate(
        """() => { const script = document.createElement("script");
            script.textContent = "window.broken = true"; document.body.append(script);
            const picture = document.createElement("img");
            picture.src = "http://127.0.0.1:9/x.png"; document.body.append(picture); }"""
    )
    assert view.page.evaluate("window.broken") is None
    view.page.wait_for_function("violations.length >= 2")
    assert view.violations == ["script-src-elem inline", "img-src http://127.0.0.1:9/x.png"]
