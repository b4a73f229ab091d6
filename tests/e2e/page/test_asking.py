"""A picture may come in any way that people try; what cannot be answered is said in a sentence."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from splitway.local.launch import LocalPipeline
from testkit.support import picture
from tests.e2e.page.browser import CAT, View
from tests.e2e.page.conftest import Open

PASTE = """async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    await navigator.clipboard.write([new ClipboardItem({ "image/png": new Blob([bytes], { type: "image/png" }) })]);
}"""


def choose(page: Page, *, name: str, kind: str, content: bytes) -> None:
    """Choose a file in the browser's own dialogue."""
    with page.expect_file_chooser() as chooser:
        page.get_by_text("Choose a picture").click()
    chooser.value.set_files(FilePayload(name=name, mimeType=kind, buffer=content))


def drop(page: Page, file: Path) -> None:
    """Drag a file from outside over the page and let it go, as the operating system does it."""
    devtools = page.context.new_cdp_session(page)
    box = page.locator("#drop").bounding_box()
    assert box is not None
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "data": data, **at})


def test_a_chosen_picture_is_shown_with_its_labels_as_bars(view: View, cat: bytes) -> None:
    choose(view.page, name="cat.jpg", kind="image/jpeg", content=cat)
    expect(view.page.locator(".best")).to_have_text(CAT)
    assert len(view.labels) == 5
    shown = view.page.get_by_alt_text("The picture that was sent: cat.jpg")
    assert shown.evaluate("image => image.naturalWidth") == 451
    shares = [float(share.split("\u202f")[0]) for share in view.page.locator("#labels .label-share").all_inner_texts()]
    bars = view.page.locator("#labels .meter").evaluate_all(
        "bars => bars.map((bar) => parseFloat(getComputedStyle(bar, '::before').width) / bar.clientWidth * 100)"
    )
    assert shares == sorted(shares, reverse=True)
    assert bars == pytest.approx(shares, abs=0.5)
    expect(view.page.get_by_role("status")).to_contain_text(CAT)


def test_a_dropped_picture_is_classified(view: View, samples: Path) -> None:
    drop(view.page, samples / "coffee.jpg")
    expect(view.page.locator(".best")).to_have_text("espresso")


def test_a_pasted_picture_is_classified(view: View) -> None:
    view.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.page.evaluate(PASTE, base64.b64encode(picture()).decode())
    with view.page.expect_response("**/v1/classify*") as reply:
        view.page.keyboard.press("Control+v")
    assert reply.value.status == 200
    expect(view.page.locator("#labels .label")).to_have_count(5)


def test_a_sample_is_one_click(view: View) -> None:
    view.ask("cat")
    assert view.labels[0] == CAT
    view.ask("rocket")
    assert view.labels[0] == "missile"


def test_another_kind_of_file_is_refused_before_it_is_sent(view: View) -> None:
    choose(view.page, name="notes.txt", kind="text/plain", content=b"no picture")
    expect(view.error).to_contain_text("notes.txt is not a picture of a kind that is taken.")
    expect(view.error).to_contain_text("Choose a JPEG, PNG or WebP picture.")
    assert not [url for url in view.requested if "/v1/classify" in url]


def test_a_picture_of_too_many_bytes_is_refused_before_it_is_sent(view: View) -> None:
    choose(view.page, name="big.jpg", kind="image/jpeg", content=bytes(11 * 1024 * 1024))
    expect(view.error).to_contain_text("big.jpg has 11\u202fMiB; at most 10\u202fMiB are taken.")
    assert not [url for url in view.requested if "/v1/classify" in url]


def test_text_that_is_pasted_is_no_picture(view: View) -> None:
    view.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.page.evaluate("navigator.clipboard.writeText('a cat')")
    view.page.keyboard.press("Control+v")
    expect(view.error).to_contain_text("The clipboard holds no picture.")


@pytest.mark.parametrize(
    ("content", "detail"),
    [(b"no picture at all", "the bytes are not a JPEG"), (picture(format_="JPEG")[:400], "")],
    ids=["text", "half a JPEG"],
)
def test_a_picture_that_cannot_be_read_is_said_so_by_the_gateway(view: View, content: bytes, detail: str) -> None:
    view.ask()
    choose(view.page, name="broken.jpg", kind="image/jpeg", content=content)
    expect(view.error).to_contain_text("This picture cannot be read.")
    expect(view.error).to_contain_text("Choose another one")
    expect(view.error).to_contain_text(f"The details: {detail}")
    expect(view.error.get_by_role("button")).to_have_count(0)
    assert view.labels == [], "the labels of the picture before are not shown beside it"
    assert all("400 (Bad Request)" in line for line in view.complaints), "the browser notes the status, nothing else"


def test_a_picture_of_too_many_pixels_is_said_so_by_the_gateway(view: View) -> None:
    buffer = io.BytesIO()
    Image.new("1", (6000, 5000)).save(buffer, "PNG")
    choose(view.page, name="wide.png", kind="image/png", content=buffer.getvalue())
    expect(view.error).to_contain_text("This picture is too large.")
    expect(view.error).to_contain_text("pixels")


def test_a_new_picture_takes_the_place_of_one_under_way(view: View) -> None:
    view.page.route("**/v1/classify*", lambda _: None, times=1)  # is never answered
    with view.page.expect_event("requestfailed") as given_up:
        view.page.get_by_role("button", name="cat", exact=True).click()
        view.page.locator("#answer[aria-busy=true]").wait_for()
        view.page.get_by_role("button", name="coffee", exact=True).click()
    assert "/v1/classify" in given_up.value.url
    expect(view.page.locator(".best")).to_have_text("espresso")
    expect(view.page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect(view.error).to_be_empty()


def test_a_network_that_is_gone_is_a_sentence_and_another_try_helps(view: View) -> None:
    view.page.route("**/v1/classify*", lambda route: route.abort(), times=1)
    view.page.get_by_role("button", name="cat", exact=True).click()
    expect(view.error).to_contain_text("The gateway does not answer.")
    view.error.get_by_role("button", name="Try again").click()
    expect(view.page.locator(".best")).to_have_text(CAT)
    expect(view.error).to_be_empty()


def test_a_stranger_that_answers_in_between_is_a_sentence(view: View) -> None:
    view.page.route("**/v1/classify*", lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"), times=1)
    view.ask()
    expect(view.error).to_contain_text("The gateway could not answer (status 502).")


def test_without_samples_none_are_offered(open_page: Open, pipeline: LocalPipeline) -> None:
    view = open_page(pipeline.gateway.url)
    about = {"max_picture_bytes": 1000, "media_types": ["image/png"], "samples": []}
    view.page.route("**/page/about.json", lambda route: route.fulfill(json=about))
    view.page.reload()
    view.replicas.first.wait_for()
    expect(view.page.get_by_role("group", name="Samples")).to_have_count(0)
    expect(view.page.locator("#file")).to_have_attribute("accept", "image/png")
