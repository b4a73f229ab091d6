"""How long the page's scripts run, beside those of an earlier commit: `python -m tests.e2e.page.script_time [COMMIT]`.

Both pages are served by the same gateway in the same browser, one after the other and over again: each is loaded, asks
with a sample, and then watches the pipeline for ten seconds while others ask too. Prints how long scripts ran, as
Chromium's profiler samples it, and the ratio. Where that is above `MOST`, the exit code is 1.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event

from playwright.sync_api import Browser, Route

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook
from tests.e2e.page.browser import View, chromium
from tests.e2e.page.screenshots import light_load

ROOT = Path(__file__).parent.parent.parent.parent
BEFORE = "4d98753"
"""The last commit with the page that showed one head."""
MOST = 1.5
ROUNDS = 3
WATCHED_MS = 10_000
_NO_SCRIPT = ("(idle)", "(program)", "(root)")
_TYPES = {"js": "text/javascript", "css": "text/css", "html": "text/html"}
_OWN = re.compile(r"/(page/[\w-]+\.(js|css))?$")


def _of(commit: str, route: Route) -> None:
    """Answer with the file as it was at a commit."""
    name = route.request.url.rpartition("/")[2] or "index.html"
    shown = subprocess.run(
        ["git", "show", f"{commit}:gateway/page/{name}"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    route.fulfill(body=shown, content_type=_TYPES[name.rpartition(".")[2]])


def _measure(browser: Browser, url: str, commit: str | None) -> float:
    """Seconds of scripts of one visit, the collection of garbage included."""
    view = View(browser, url)
    try:
        if commit is not None:
            view.page.route(_OWN, lambda route: _of(commit, route))
        devtools = view.context.new_cdp_session(view.page)
        devtools.send("Profiler.enable")
        devtools.send("Profiler.setSamplingInterval", {"interval": 200})
        devtools.send("Profiler.start")
        view.open().ask()
        view.page.wait_for_timeout(WATCHED_MS)
        profile = devtools.send("Profiler.stop")["profile"]
        names = {node["id"]: node["callFrame"]["functionName"] for node in profile["nodes"]}
        sampled = zip(profile["samples"], profile["timeDeltas"], strict=True)
        return float(sum(delta for node, delta in sampled if names[node] not in _NO_SCRIPT)) / 1e6
    finally:
        view.context.close()


def main(before: str = BEFORE) -> int:
    """Print both and their ratio; 1 where the scripts take too long."""
    plan = LaunchPlan(ROOT / "models", port=0, run_file=None)
    picture = (ROOT / "samples" / "cat.jpg").read_bytes()
    with LocalPipeline(plan, LogBook().line) as running, chromium() as browser, ExitStack() as stack:
        running.wait_ready()
        stop = Event()
        stack.enter_context(ThreadPoolExecutor(1)).submit(light_load, running.gateway.url, picture, stop)
        stack.callback(stop.set)
        visits = [[_measure(browser, running.gateway.url, commit) for commit in (before, None)] for _ in range(ROUNDS)]
    old, new = (statistics.median(visit[at] for visit in visits) for at in (0, 1))
    print(f"scripts: {old:.3f} s at {before}, {new:.3f} s now: {new / old:.2f} times")
    return int(new / old > MOST)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
