"""Make the page's pictures in docs/: `python -m tests.e2e.page.screenshots`.

Two replicas a stage under light load; one extractor answers 503 for a moment, so that the request that is shown was
retried, and for the dark picture one classifier is killed.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import httpx
from PIL import Image

from testkit.chaos.arena import gateway, replicas
from testkit.support import until
from tests.e2e.page.browser import View, chromium
from tests.e2e.page.trouble import ask_until_retried

ROOT = Path(__file__).parent.parent.parent.parent
DOCS = ROOT / "docs"
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
SECTIONS = (".top", "#answer", "#stages")
SHOWN = 6
"""Of the last requests."""
GAP = 24
BETWEEN = "#8a8f92"
PAUSE_S = 0.06


def light_load(url: str, picture: bytes, stop: Event) -> None:
    """One client that asks, waits a little and asks again."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        while not stop.wait(PAUSE_S):
            client.post("/v1/classify", content=picture, headers={"content-type": "image/jpeg"})


def _whole(view: View) -> Image.Image:
    """The page down to the first of the last requests."""
    box = view.page.locator("#recent > li").nth(SHOWN).bounding_box()
    assert box is not None
    whole = Image.open(io.BytesIO(view.page.screenshot(full_page=True)))
    return whole.crop((0, 0, whole.width, round(box["y"])))


def _screens(view: View) -> Image.Image:
    """What a phone shows of each section, side by side."""
    width, height = PHONE["width"], PHONE["height"]
    together = Image.new("RGB", (len(SECTIONS) * (width + GAP) - GAP, height), BETWEEN)
    for number, section in enumerate(SECTIONS):
        view.page.locator(section).evaluate("section => section.scrollIntoView()")
        together.paste(Image.open(io.BytesIO(view.page.screenshot())), (number * (width + GAP), 0))
    return together


def _keep(picture: Image.Image, name: str) -> None:
    """Write a picture in 256 colours: a third of the bytes."""
    file = DOCS / f"page-{name}.png"
    picture.convert("RGB").quantize(256).save(file, optimize=True)
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1024} KiB")


def main() -> None:
    """Start everything, take the pictures, stop everything."""
    picture = (ROOT / "samples" / "cat.jpg").read_bytes()
    stop = Event()
    with ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
        stages = stack.enter_context(replicas(ROOT / "models"))
        running = stack.enter_context(gateway(stages.urls, log))
        browser = stack.enter_context(chromium())
        pool = stack.enter_context(ThreadPoolExecutor(1))
        stack.callback(stop.set)
        pool.submit(light_load, running.url, picture, stop)
        until(lambda: running.get("/v1/pipeline").json()["gateway"]["recent"]["ended"] > 50, 30)

        def take(
            name: str, picture_of: Callable[[View], Image.Image], *, kills: bool = False, **options: object
        ) -> None:
            view = View(browser, running.url, reduced_motion="reduce", **options).open()
            ask_until_retried(view, stages.proxies["feature_extractor"])
            if kills:
                stages.pipeline.of("classifier")[0].popen.kill()
                view.page.locator(".replica[data-state=unreachable]").wait_for()
            view.page.locator("#recent > li").nth(19).wait_for()
            view.page.mouse.move(0, 0)
            _keep(picture_of(view), name)
            view.context.close()

        take("light", _whole, viewport=DESK, color_scheme="light")
        take("phone", _screens, viewport=PHONE, color_scheme="light")
        take("dark", _whole, viewport=DESK, color_scheme="dark", kills=True)


if __name__ == "__main__":
    main()
