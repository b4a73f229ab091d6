"""A real headless Chromium over the gateway's page, and what it notices while a test looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
CAT = "Egyptian cat"
PATIENCE_MS = 30_000
"""However busy the machine is; where a time is tested, the test names its own."""
expect.set_options(timeout=PATIENCE_MS)
_COUNT_VIOLATIONS = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation",
        (event) => violations.push(`${event.effectiveDirective} ${event.blockedURI}`));
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium; Playwright brings none along."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class View:
    """The page in a window of its own.

    Args:
        browser: Chromium.
        url: the gateway's.
        options: of Playwright's context, such as `viewport` or `color_scheme`.
    """

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.context = browser.new_context(base_url=url, **options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        """What the console says, and exceptions."""
        self.requested: list[str] = []
        self.page.add_init_script(_COUNT_VIOLATIONS)
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        # From the start, for Chromium is told asynchronously to leave it to us:
        self.page.on("filechooser", lambda _: None)
        self.page.on("request", lambda request: self.requested.append(request.url))

    def open(self, shows: str = ".sample") -> View:
        """Load the page, and wait until it has drawn the pipeline and what takes the input: the samples, usually."""
        self.page.goto("/")
        self.replicas.first.wait_for()
        self.page.locator(shows).first.wait_for()
        return self

    def open_closed(self) -> View:
        """Load the page of a gateway that asks for a key, and wait until it has said so."""
        self.page.goto("/")
        self.key_field.wait_for()
        self.page.locator(".sample").first.wait_for()
        return self

    def give_key(self, key: str) -> None:
        """Type an API key and use it."""
        self.key_field.fill(key)
        self.page.get_by_role("button", name="Use the key").click()

    def ask(self, sample: str = "cat") -> None:
        """Send a sample and wait until it is answered, well or badly."""
        with self.page.expect_response("**/v1/classify*"):
            self.page.get_by_role("button", name=sample, exact=True).click()
        self.page.locator("#answer[aria-busy=false]").wait_for()

    @property
    def labels(self) -> list[str]:
        """The labels that are shown, best first."""
        return self.page.locator("#labels .label-name").all_inner_texts()

    @property
    def error(self) -> Locator:
        return self.page.get_by_role("alert")

    @property
    def key_field(self) -> Locator:
        return self.page.get_by_label("API key", exact=True)

    @property
    def replicas(self) -> Locator:
        return self.page.locator(".replica")

    @property
    def violations(self) -> list[str]:
        """What the page's own policy has forbidden."""
        found: list[str] = self.page.evaluate("violations")
        return found

    @property
    def is_too_wide(self) -> bool:
        """Whether the page has to be scrolled sideways."""
        wide: bool = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        return wide
