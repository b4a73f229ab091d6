"""The page and the description of the interface: at the root and below a prefix, with nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser

from splitway.local.launch import LocalPipeline
from tests.e2e.page.browser import CAT, View
from tests.e2e.page.prefix import behind_a_prefix


@contextmanager
def _at(browser: Browser, service: str, *, prefixed: bool) -> Iterator[tuple[View, str]]:
    """A window, and the address of a service; nothing must have been wrong when it is closed."""
    with behind_a_prefix(service) as (url, strays):
        base = url if prefixed else service
        view = View(browser, base)
        try:
            yield view, base
            assert view.violations == []
            assert view.complaints == []
            assert all(asked.startswith((f"{base}/", "blob:")) for asked in view.requested)
            assert strays == []
        finally:
            view.context.close()


@pytest.mark.parametrize("prefixed", [False, True], ids=["root", "prefix"])
def test_the_page(browser: Browser, pipeline: LocalPipeline, prefixed: bool) -> None:
    with _at(browser, pipeline.gateway.url, prefixed=prefixed) as (view, url):
        view.page.goto(f"{url}/")
        view.replicas.first.wait_for()
        view.ask()
        assert view.labels[0] == CAT


@pytest.mark.parametrize("prefixed", [False, True], ids=["root", "prefix"])
@pytest.mark.parametrize("service", ["gateway", "classifier"])
def test_the_description(browser: Browser, pipeline: LocalPipeline, service: str, prefixed: bool) -> None:
    with _at(browser, pipeline.of(service)[0].url, prefixed=prefixed) as (view, url):
        view.page.goto(f"{url}/docs")
        view.page.locator("[id$=livez_livez_get]").click()
        view.page.get_by_role("button", name="Try it out").click()
        with view.page.expect_response(f"{url}/livez") as reply:
            view.page.get_by_role("button", name="Execute").click()
        assert reply.value.status == 200
        view.page.goto(f"{url}/redoc")
        view.page.locator("[id$=livez_livez_get]").click()
        view.page.locator(".opblock.is-open .responses-table").first.wait_for()
        assert view.page.get_by_role("button", name="Try it out").count() == 0
