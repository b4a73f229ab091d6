"""Make the tutorial's pictures: `python -m tests.docs.pictures`, with Chromium.

The commands of docs/tutorial.md are run in a clone up to the canary; then the page is asked in a browser.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image

from tests.docs.run import ROOT, cloned, environment, run_page, set_up
from tests.docs.shell import PORT, Shell
from tests.e2e.page.browser import View, chromium

PAGE = Path("docs/tutorial.md")
_UNTIL = "The page shows both releases"
"""Where the tutorial has two heads, two releases, and a canary that is asked."""
_ASKED = ("poppy", "daisy", "violet", "sunflower", "poppy")


def main() -> None:
    """Run the tutorial up to its canary, and replace the pictures in docs/."""
    with cloned() as folder, tempfile.TemporaryDirectory(prefix="splitway-docs-") as scratch:
        set_up(folder, fresh=False)
        text = (folder / PAGE).read_text(encoding="utf-8").partition(_UNTIL)[0]
        (folder / PAGE).write_text(text, encoding="utf-8")
        shell = Shell(folder, Path(scratch), environment(folder))
        with run_page(str(PAGE), shell):
            photograph(folder, ROOT / "docs" / "tutorial-page.png")
        shutil.copy(folder / "cuts.svg", ROOT / "docs" / "tutorial-cuts.svg")


def photograph(folder: Path, target: Path) -> None:
    """Ask the running page for a few flowers, and keep what it shows, in 256 colours."""
    with chromium() as browser:
        view = View(browser, f"http://127.0.0.1:{PORT}", viewport={"width": 1200, "height": 800}).open()
        for flower in _ASKED:
            with view.page.expect_response("**/v1/classify*"), view.page.expect_file_chooser() as chooser:
                view.page.locator("#file-name").click()
                chooser.value.set_files(next((folder / "unseen" / flower).iterdir()))
        view.page.wait_for_timeout(2500)  # until the pipeline is shown as it is after the last answer
        shown = Image.open(io.BytesIO(view.page.screenshot(full_page=True)))
        shown.convert("RGB").quantize(256).save(target, optimize=True)


if __name__ == "__main__":
    main()
