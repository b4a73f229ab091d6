"""What keeps somebody from using the page, as axe-core finds it."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe

from tests.e2e.page.browser import View

PHONE = {"width": 360, "height": 740}
_SERIOUS = ("serious", "critical")


def findings(view: View) -> list[str]:
    """What axe-core finds that keeps somebody from using the page."""
    violations: list[dict[str, Any]] = Axe().run(view.page).response["violations"]
    return [f"{v['id']}: {[n['html'] for n in v['nodes']]}" for v in violations if v["impact"] in _SERIOUS]
