"""Several heads answer side by side, release and canary are compared, and a request can be taken along as a command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, splitway, until
from tests.e2e.page.browser import CAT, View
from tests.e2e.page.conftest import Open

SECOND = "second"


@pytest.fixture(scope="module")
def two_headed(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPipeline]:
    """A pipeline with two heads, and a canary that is the same model by another name."""
    folder = tmp_path_factory.mktemp("two") / "models"
    shutil.copytree(models, folder)
    for head, version in ((SECOND, "1"), ("classifier", "2")):
        copied = folder / head / version
        shutil.copytree(models / "classifier" / "1", copied)
        manifest = json.loads((copied / "stage.json").read_text())
        (copied / "stage.json").write_text(json.dumps({**manifest, "name": head, "version": version}))
    file = ("--models", str(folder))
    splitway("release", "create", "july", "--head", "classifier=1", "--head", f"{SECOND}=1", *file)
    splitway("release", "create", "august", "--head", "classifier=2", "--head", f"{SECOND}=1", *file)
    splitway("release", "promote", "july", *file)
    splitway("release", "canary", "august", "--percent", "10", *file)
    plan = LaunchPlan(folder, port=0, run_file=None, environment={"SPLITWAY_RELEASES": str(folder / "releases.json")})
    with LocalPipeline(plan, LogBook().line) as running:
        running.wait_ready()
        yield running


@pytest.fixture
def view(open_page: Open, two_headed: LocalPipeline) -> View:
    view = open_page(two_headed.gateway.url, permissions=["clipboard-read", "clipboard-write"])
    view.page.get_by_label("Compare with the canary").wait_for()
    return view


def test_a_second_head_is_asked_at_once_and_both_answers_stand_side_by_side(view: View) -> None:
    view.ask()
    expect(view.page.locator(".best")).to_have_text(CAT)
    with view.page.expect_response("**/v1/classify?heads=*&timeline=true"):
        view.page.get_by_role("checkbox", name=SECOND).check()
    expect(view.page.locator(".best")).to_have_text("2 answers")
    rows = view.page.locator("#score .lane.attempt")
    assert rows.locator(".name").all_inner_texts() == ["feature_extractor", "classifier", SECOND]
    assert view.page.locator("button.says b").all_inner_texts() == [CAT, CAT]
    view.page.get_by_role("button", name=CAT).last.click()
    expect(view.page.locator(".more .label")).to_have_count(3)
    expect(view.page.get_by_role("button", name=CAT).last).to_be_focused()
    view.requested.clear()
    view.page.get_by_role("checkbox", name=SECOND).uncheck()
    expect(view.page.locator(".best")).to_have_text(CAT)
    assert not [url for url in view.requested if "classify" in url], "what was answered is not asked again"


def test_the_same_picture_goes_to_release_and_canary(view: View) -> None:
    asked: list[str] = []
    view.page.on("request", lambda request: asked.append(request.headers.get("x-splitway-canary", "")))
    view.page.get_by_label("Compare with the canary").check()
    view.ask()
    expect(view.page.locator("#best")).to_contain_text("Both say so: july / august")
    assert [side for side in asked if side] == ["never", "always"]
    assert view.page.locator("#score .group .name").all_inner_texts() == ["july, current", "august, canary"]
    expect(view.page.locator("#labels .label").first.locator(".meter")).to_have_count(2)
    table = view.page.get_by_role("group", name="Releases")
    cells = table.get_by_role("row").nth(2).get_by_role("cell")
    assert cells.all_inner_texts()[:3] == ["august", "canary", "10\u202f%"]
    expect(view.page.locator("#releases")).to_contain_text("splitway release promote august")


@pytest.mark.parametrize("heads", [1, 2])
def test_copied_as_curl_or_python_it_gives_the_same_answer(view: View, tmp_path: Path, heads: int) -> None:
    if heads == 2:
        view.page.get_by_role("checkbox", name=SECOND).check()
    with view.page.expect_response("**/v1/classify*") as shown:
        view.page.get_by_role("button", name="cat", exact=True).click()
    answer = shown.value.json()["heads"]
    ways = {"curl": ["sh", "-c"], "Python": [sys.executable, "-c"]}
    for name, command in ways.items():
        view.page.get_by_role("button", name=name, exact=True).click()
        expect(view.page.locator("#copy-says")).to_have_text("Copied")
        pasted = view.page.evaluate("navigator.clipboard.readText()")
        said = subprocess.run([*command, pasted], cwd=tmp_path, capture_output=True, check=True, text=True).stdout
        found = json.loads(said) if name == "curl" else eval(said, {"__builtins__": {}})  # noqa: S307 - what print wrote
        assert {head: each["predictions"] for head, each in found["heads"].items()} == {
            head: each["predictions"] for head, each in answer.items()
        }


def test_where_there_is_no_clipboard_the_words_are_shown_and_selected(view: View) -> None:
    view.ask()
    view.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    view.page.get_by_role("button", name="curl", exact=True).click()
    expect(view.page.locator("#copy-says")).to_have_text("Selected")
    selected = view.page.evaluate("getSelection().toString()")
    assert selected.startswith("curl -s ")
    assert "/v1/classify" in selected


def test_the_last_requests_open_with_their_time_line(view: View) -> None:
    view.ask()
    id_ = str(view.page.locator("#request-id").get_attribute("title"))
    row = view.page.locator("#recent > li").filter(has_text=id_[:8])
    row.locator("summary").click()
    expect(row).to_contain_text(id_)
    assert row.locator(".lane .name").all_inner_texts() == ["gateway", "feature_extractor", "classifier"]
    view.page.get_by_role("button", name="coffee", exact=True).click()
    until(lambda: view.page.locator("#recent > li").first.inner_text().find(id_[:8]) < 0, 10)
    expect(row.locator(".lane").first).to_be_visible()
