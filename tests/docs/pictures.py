"""Make the tutorial's pictures: `python -m tests.docs.pictures`, with Chromium and Playwright.

The commands of docs/tutorial.md are run in a clone up to the canary; then the page is asked in a browser.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.docs.run import ROOT, cloned, environment, run_page, set_up
from tests.docs.shell import PORT, Shell

PAGE = Path("docs/tutorial.md")
_UNTIL = "A canary that fails"
"""Where the tutorial has two heads, two releases, and a canary that is asked."""
_ASKED = ("poppy", "daisy", "violet", "sunflower", "poppy")


def main() -> None:
    """Run the tutorial up to its canary, and replace the pictures in docs/."""
    with cloned() as folder, tempfile.TemporaryDirectory(prefix="splitway-docs-") as scratch:
        set_up(folder, fresh=False)
        text = (folder / PAGE).read_text(encoding="utf-8").partition(_UNTIL)[0]
        (folder / PAGE).write_text(text, encoding="utf-8")
        shell = Shell(folder, Path(scratch), environment())
        with run_page(str(PAGE), shell):
            photograph(folder, ROOT / "docs" / "tutorial-page.png")
        shutil.copy(folder / "cuts.svg", ROOT / "docs" / "tutorial-cuts.svg")


def photograph(folder: Path, target: Path) -> None:
    """Ask the running page for a few flowers, and keep what it shows."""
    with sync_playwright() as playwright:
        program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, device_scale_factor=1.5)
        page.goto(f"http://127.0.0.1:{PORT}/")
        for flower in _ASKED:
            picture = next((folder / "unseen" / flower).iterdir())
            with page.expect_response("**/v1/classify*"):
                page.locator("input[type=file]").set_input_files(picture)
        page.wait_for_timeout(2500)  # until the pipeline is shown as it is after the last answer
        page.screenshot(path=target)
        browser.close()


if __name__ == "__main__":
    main()
