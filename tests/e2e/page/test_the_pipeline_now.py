"""The pipeline is drawn as it is: a stage that is killed shows within two seconds, and is said once."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Route, expect

from splitway.bundle import Bundle
from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, until
from tests.e2e.page.browser import CAT, View
from tests.e2e.page.conftest import Open

pytestmark = pytest.mark.alone

SHOWS_WITHIN_MS = 2000.0


@pytest.fixture
def own_pipeline(models: Path) -> Iterator[LocalPipeline]:
    """A pipeline of the test's own, two of whose processes may be killed."""
    plan = LaunchPlan(models, port=0, replicas={"feature_extractor": 2}, run_file=None)
    with LocalPipeline(plan, LogBook().line) as running:
        running.wait_ready()
        until(lambda: _all_ready(running.gateway.url), 30)
        yield running


def _all_ready(url: str) -> bool:
    stages = httpx.get(f"{url}/v1/pipeline", trust_env=False).json()["stages"]
    return all(replica["state"] == "ready" for stage in stages for replica in stage["replicas"])


def address(url: str) -> str:
    return url.removeprefix("http://")


def test_stages_and_replicas_are_drawn_in_the_order_of_a_request(
    view: View, pipeline: LocalPipeline, head_bundle: Bundle
) -> None:
    assert view.page.locator(".node b > span:first-child").all_inner_texts() == ["feature_extractor", "classifier"]
    assert view.replicas.locator(".at").all_inner_texts() == [
        address(pipeline.of(stage)[0].url) for stage in ("feature_extractor", "classifier")
    ]
    for name, replica in zip(("feature_extractor", "classifier"), view.replicas.all(), strict=True):
        replica.locator("summary").click()
        expect(replica.get_by_text("Breaker")).to_be_visible()
        expect(replica).to_contain_text("ready")
        expect(replica).to_contain_text(f"{name} 1")
        expect(replica).to_contain_text(head_bundle.manifest.feature_space)
        expect(replica).to_contain_text("closed")
    expect(view.page.locator("#state")).to_have_text("Ready")


def test_the_page_counts_as_the_gateway_does(view: View, gateway: httpx.Client, cat: bytes) -> None:
    for _ in range(7):
        gateway.post("/v1/classify", content=cat, headers={"content-type": "image/jpeg"})
    now = gateway.get("/v1/pipeline").json()
    calls = now["stages"][0]["replicas"][0]["attempts"]["ok"]
    counted = f"{calls:,} ok".replace(",", "\u202f")  # beside what other tests of this pipeline made of it
    view.replicas.first.locator("summary").click()
    expect(view.replicas.first).to_contain_text(re.compile(rf"Calls since the start([\w ]+, )*{counted}"))
    requests = now["gateway"]["requests"]["ok"]
    expect(view.page.locator(".gateway .tally")).to_contain_text(f"{requests:,} ok".replace(",", "\u202f"))
    until(lambda: _shown_p50_ms(view) > 0, 5)


def _shown_p50_ms(view: View) -> float:
    shown = view.page.locator("#figures .value").nth(1).inner_text()
    return float(shown.split("\u202f")[0]) if shown.endswith("ms") else 0.0


def test_a_killed_replica_shows_within_two_seconds_and_the_others_answer(
    open_page: Open, own_pipeline: LocalPipeline
) -> None:
    view = open_page(own_pipeline.gateway.url)
    victim = own_pipeline.of("feature_extractor")[0]
    card = view.replicas.filter(has_text=address(victim.url))
    expect(card).to_contain_text("ready")
    victim.popen.kill()
    killed_at_s = time.monotonic()
    card.get_by_text("unreachable").wait_for(timeout=SHOWS_WITHIN_MS)
    print(f"shown after {time.monotonic() - killed_at_s:.2f} s")
    view.ask()
    assert view.labels[0] == CAT
    log = view.page.get_by_role("log")
    said = [" ".join(line.split()[1:]) for line in log.locator("p").all_inner_texts()]
    assert said == [f"feature_extractor {address(victim.url)} is unreachable."], "once, not with every look"
    expect(view.page.locator("#state")).to_have_text("Ready; 1 of 3 replicas missing")
    trouble = view.page.get_by_role("region", name="Trouble")
    expect(trouble).to_contain_text("feature_extractor #1 does not answer")
    expect(trouble.locator("code")).to_have_text("splitway logs feature_extractor")


def test_when_all_classifiers_are_gone_the_page_says_what_to_do(open_page: Open, own_pipeline: LocalPipeline) -> None:
    view = open_page(own_pipeline.gateway.url)
    own_pipeline.of("classifier")[0].popen.kill()
    expect(view.page.locator("#state")).to_contain_text("Not ready", timeout=SHOWS_WITHIN_MS)
    view.ask()
    expect(view.error).to_contain_text("The stage classifier is not available.")
    expect(view.error).to_contain_text("Start it again, then try again.")
    expect(view.error.get_by_role("button", name="Try again")).to_be_visible()
    expect(view.page.locator(".node").filter(has_text="classifier").locator(".flag")).to_contain_text("not ready")


def test_a_gateway_that_does_not_answer_is_said_and_its_return_too(view: View, pipeline: LocalPipeline) -> None:
    gateway = pipeline.gateway.popen
    gateway.send_signal(signal.SIGSTOP)
    try:
        expect(view.page.locator("#fresh")).to_contain_text("No answer from the gateway. What is shown is from")
        expect(view.page.locator("#state")).to_have_text("The gateway does not answer")
    finally:
        gateway.send_signal(signal.SIGCONT)
    expect(view.page.locator("#state")).to_have_text("Ready")
    expect(view.page.get_by_role("log")).to_contain_text("The gateway answers again.")


def test_nobody_is_asked_while_the_tab_is_hidden(view: View) -> None:
    """In the browser's own virtual time: a look each half second, none while hidden, one at once on return."""
    view.page.clock.install()
    view.page.reload()
    view.replicas.first.wait_for()
    for _ in range(3):
        with view.page.expect_response("**/v1/pipeline*"):
            view.page.clock.run_for(500)
    looks: list[Route] = []
    view.page.route("**/v1/pipeline*", lambda route: looks.append(route))  # noqa: PLW0108 - Playwright marks what it calls
    with view.page.expect_request("**/v1/pipeline*"):
        view.page.clock.run_for(500)
    view.page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    view.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(view.page.locator("#fresh")).to_have_text("Paused while this tab is hidden.")
    with view.page.expect_response("**/v1/pipeline*"):
        looks[0].continue_()
    view.page.unroute("**/v1/pipeline*")
    view.requested.clear()
    view.page.clock.run_for(5000)
    view.page.evaluate("fetch('/livez')")
    assert [url.rpartition("/")[2] for url in view.requested] == ["livez"]
    expect(view.page.locator("#fresh")).to_have_text("Paused while this tab is hidden.")
    view.page.evaluate("Object.defineProperty(document, 'hidden', { value: false })")
    with view.page.expect_response("**/v1/pipeline*"):
        view.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(view.page.locator("#fresh")).to_have_text("Live, twice a second")


def test_what_does_not_change_is_left_alone(view: View) -> None:
    """A look at replicas that nobody calls touches none of them, so that a screen reader can read in peace."""
    view.page.evaluate(
        """() => { window.touched = 0; window.first = document.querySelector(".replica");
            const observer = new MutationObserver((all) => { touched += all.length; });
            const all = { subtree: true, childList: true, characterData: true, attributes: true };
            for (const replicas of document.querySelectorAll(".replicas")) observer.observe(replicas, all); }"""
    )
    for _ in range(3):
        with view.page.expect_response("**/v1/pipeline*"):
            pass
    assert view.page.evaluate("[first.isConnected, touched]") == [True, 0]
    expect(view.page.get_by_role("log")).to_be_empty()
