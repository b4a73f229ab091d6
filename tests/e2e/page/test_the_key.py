"""Where the gateway asks for an API key the page asks its reader, keeps the key to itself, and does not nag."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Request, Route, expect

from splitway.cli.operate import keys
from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook
from tests.e2e.page.accessibility import PHONE, findings
from tests.e2e.page.browser import CAT, View

ASKED = ("v1/pipeline", "v1/classify", "v1/requests", "v2/models/pipeline")
WRONG = f"splitway_0123456789_{'x' * 43}"


@dataclass(frozen=True)
class Guarded:
    """A pipeline whose gateway asks for a key, and keys of different scopes."""

    url: str
    both: str
    infer: str
    metrics: str
    brief: str
    """For the pipeline, until a test revokes it."""
    file: Path


@pytest.fixture(scope="module")
def guarded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("guarded") / "keys.json"
    scopes = (["infer", "metrics"], ["infer"], ["metrics"], ["metrics"])
    both, infer, metrics, brief = (keys.create(file, "test", each, "1h")[0] for each in scopes)
    plan = LaunchPlan(models, port=0, environment={"SPLITWAY_KEYS_FILE": str(file)}, run_file=None)
    with LocalPipeline(plan, LogBook().line) as running:
        running.wait_ready()
        yield Guarded(running.gateway.url, both, infer, metrics, brief, file)


@pytest.fixture
def closed(browser: Browser, guarded: Guarded) -> Iterator[View]:
    """The page before any key was given."""
    view = View(browser, guarded.url).open_closed()
    yield view
    view.context.close()


def says(view: View, words: str) -> None:
    expect(view.page.get_by_role("group", name="Access")).to_contain_text(words)


def test_a_page_that_needs_no_key_has_no_field(view: View) -> None:
    view.ask()
    expect(view.page.locator("#key")).to_be_hidden()
    expect(view.key_field).to_have_count(0)
    expect(view.page.get_by_role("link", name="Metrics")).to_be_visible()


def test_the_field_takes_a_key_and_the_page_works_as_ever(closed: View, guarded: Guarded) -> None:
    says(closed, "This gateway requires a key.")
    expect(closed.page.locator("#state")).to_have_text("The gateway requires a key")
    expect(closed.key_field).to_have_attribute("type", "password")
    expect(closed.key_field).to_have_attribute("autocomplete", "off")
    closed.give_key(guarded.both)
    closed.replicas.first.wait_for()
    closed.ask()
    assert closed.labels[0] == CAT
    says(closed, "Your key is in use.")
    expect(closed.key_field).to_be_hidden()
    expect(closed.page.get_by_role("link", name="Metrics")).to_be_hidden()
    assert closed.violations == []


def test_a_picture_that_was_refused_is_sent_again_with_the_key(closed: View, guarded: Guarded) -> None:
    closed.ask()
    expect(closed.error).to_contain_text("The gateway asks who you are.")
    expect(closed.key_field).to_be_focused()
    closed.page.keyboard.type(guarded.infer)
    closed.page.keyboard.press("Enter")
    expect(closed.page.locator(".best")).to_have_text(CAT)
    expect(closed.error).to_be_empty()


def asks_nothing_for_a_while(view: View) -> bool:
    """Whether five seconds by the browser's own clock go by without a request."""
    view.requested.clear()
    view.page.clock.run_for(5000)
    view.page.evaluate("fetch('/livez')")  # by then whatever was asked before it is known
    return [url.rpartition("/")[2] for url in view.requested] == ["livez"]


def test_a_refused_page_is_quiet_until_somebody_looks_again(closed: View) -> None:
    closed.page.clock.install()
    closed.page.reload()
    says(closed, "This gateway requires a key.")
    assert asks_nothing_for_a_while(closed)
    with closed.page.expect_response("**/v1/pipeline*"):
        closed.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert asks_nothing_for_a_while(closed)


def test_a_wrong_key_is_said_and_sent_no_more(closed: View) -> None:
    closed.give_key(WRONG)
    says(closed, "The gateway does not accept this key: unknown key")
    expect(closed.key_field).to_be_empty()
    with closed.page.expect_request("**/v1/classify*") as asked:
        closed.ask()
    assert "authorization" not in asked.value.headers
    says(closed, "The gateway does not accept this key")


def test_what_can_be_no_key_is_not_sent(closed: View) -> None:
    closed.requested.clear()
    closed.give_key("two words")
    says(closed, "This is no key")
    closed.give_key("ключ")
    says(closed, "This is no key")
    assert closed.requested == []


def test_a_key_for_pictures_alone_classifies_and_leaves_the_pipeline_alone(closed: View, guarded: Guarded) -> None:
    closed.page.clock.install()
    closed.page.reload()
    closed.give_key(guarded.infer)
    says(closed, "Your key does not show the pipeline: it lacks the scope metrics.")
    expect(closed.page.locator("#fresh")).to_have_text("To see the pipeline, a key needs the scope metrics.")
    closed.ask()
    assert closed.labels[0] == CAT
    assert asks_nothing_for_a_while(closed)


def test_an_answer_to_what_was_asked_without_the_key_changes_nothing(closed: View, guarded: Guarded) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    closed.page.route("**/v1/pipeline*", hold, times=1)
    with closed.page.expect_request("**/v1/pipeline*"):
        closed.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    closed.give_key(guarded.both)
    closed.replicas.first.wait_for()
    closed.page.route("**/v1/pipeline*", hold)  # so that nothing is drawn anew
    with closed.page.expect_response(lambda reply: reply.status == 401):
        held[0].continue_()
    closed.page.evaluate("fetch('/livez')")
    assert closed.page.locator("#state").inner_text() == "Ready"
    assert closed.replicas.count() > 0
    says(closed, "Your key is in use.")


def test_a_key_for_the_pipeline_alone_shows_it_and_another_classifies(closed: View, guarded: Guarded) -> None:
    closed.give_key(guarded.metrics)
    closed.replicas.first.wait_for()
    closed.ask()
    expect(closed.error).to_contain_text("Your key does not allow this.")
    says(closed, "Your key does not classify pictures: it lacks the scope infer.")
    closed.give_key(guarded.both)
    expect(closed.page.locator(".best")).to_have_text(CAT)
    says(closed, "Your key is in use.")


def test_a_key_is_in_the_header_and_nowhere_else(closed: View, guarded: Guarded) -> None:
    asked: list[Request] = []
    closed.page.on("request", lambda request: asked.append(request))  # noqa: PLW0108 - Playwright marks what it calls
    closed.give_key(guarded.both)
    closed.replicas.first.wait_for()
    closed.ask()
    with_key = {request.url.partition("?")[0] for request in asked if "authorization" in request.headers}
    assert with_key == {f"{guarded.url}/{path}" for path in ASKED}
    assert guarded.both not in closed.page.content()
    assert not [request.url for request in asked if guarded.both in request.url]
    kept = "[localStorage.length, sessionStorage.length, document.cookie, document.getElementById('api-key').value]"
    assert closed.page.evaluate(kept) == [0, 0, "", ""]


def test_a_reload_or_the_button_forgets_it(closed: View, guarded: Guarded) -> None:
    closed.give_key(guarded.both)
    closed.replicas.first.wait_for()
    closed.page.get_by_role("button", name="Forget the key").click()
    says(closed, "This gateway requires a key.")
    expect(closed.key_field).to_be_focused()
    expect(closed.replicas).to_have_count(0)
    closed.give_key(guarded.both)
    closed.replicas.first.wait_for()
    closed.page.reload()
    closed.key_field.wait_for()
    expect(closed.replicas).to_have_count(0)


def test_a_key_that_is_revoked_meanwhile_is_asked_for_anew(closed: View, guarded: Guarded) -> None:
    closed.give_key(guarded.brief)
    closed.replicas.first.wait_for()
    keys.revoke(guarded.file, guarded.brief.split("_")[1])
    says(closed, "The gateway does not accept this key")
    expect(closed.page.locator("#state")).to_have_text("The gateway requires a key")
    expect(closed.replicas).to_have_count(0)


def test_a_gateway_that_points_elsewhere_is_not_followed_with_the_key(closed: View, guarded: Guarded) -> None:
    closed.page.route(
        "**/v1/classify*", lambda route: route.fulfill(status=307, headers={"location": f"{guarded.url}/elsewhere"})
    )
    closed.give_key(guarded.infer)
    closed.page.get_by_role("button", name="cat", exact=True).click()
    expect(closed.error).to_contain_text("The gateway does not answer.")
    assert not [url for url in closed.requested if url.endswith("/elsewhere")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 800}, PHONE], ids=["desk", "phone"])
def test_the_field_keeps_nobody_out(browser: Browser, guarded: Guarded, scheme: str, viewport: dict[str, int]) -> None:
    view = View(browser, guarded.url, color_scheme=scheme, viewport=viewport, reduced_motion="reduce").open_closed()
    assert findings(view) == [], "before a key is given"
    view.ask()
    assert findings(view) == [], "with a picture that was refused"
    view.give_key(guarded.metrics)
    view.replicas.first.wait_for()
    expect(view.page.get_by_role("button", name="Forget the key")).to_be_visible()
    assert findings(view) == [], "with a key that is not enough"
    assert not view.is_too_wide
    view.context.close()


def test_the_keyboard_alone_is_enough_to_give_a_key_and_forget_it(closed: View, guarded: Guarded) -> None:
    page = closed.page
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(closed.key_field).to_be_focused()
    page.keyboard.type(guarded.both)
    page.keyboard.press("Enter")
    closed.replicas.first.wait_for()
    expect(page.get_by_role("button", name="Forget the key")).to_be_focused()
    page.keyboard.press("Enter")
    expect(closed.key_field).to_be_focused()
    expect(closed.key_field).to_have_accessible_description(
        "This gateway requires a key. Its operator can give you one."
    )
