"""The page of a running pipeline, in Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from splitway.local.launch import LocalPipeline
from tests.e2e.page.browser import CHROMIUM, View, chromium

Open = Callable[..., View]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; of a module's own, for its event loop stays in this thread as long as it runs."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: the page's tests need it (apt-get install chromium)")
    with chromium() as running:
        yield running


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open the page of a gateway; closed after the test."""
    views: list[View] = []

    def open_(url: str, shows: str = ".sample", **options: object) -> View:
        views.append(View(browser, url, **options))
        return views[-1].open(shows)

    yield open_
    for view in views:
        view.context.close()


@pytest.fixture
def view(open_page: Open, pipeline: LocalPipeline) -> View:
    """The page of the shared pipeline, on a screen of usual size."""
    return open_page(pipeline.gateway.url)
