"""What it costs to say what happens: `make bench WHAT=telemetry` (8 minutes).

The same pipeline in turn: without traces, with one request in a hundred traced, with all of them traced, and with
`--before REV` as it was at an earlier commit. With the default model, and with trivial stages, where nothing but the
framework counts. Traces go to a collector on this machine that throws them away. Prints the ratios of the rates, and
writes benchmarks/results/telemetry-DATE.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks import contestants
from benchmarks.earlier import earlier
from benchmarks.prepare import TRIVIAL
from benchmarks.rows import Rows, median, names, spread
from benchmarks.turns import JPEG, MODELS, ROOT, TINY, Picture, Plan, alternate, in_turns, served
from testkit.machine import about
from testkit.support import free_port

OFF, SOME, ALL, BEFORE = "no traces", "1 % traced", "all traced", "before"
CLIENTS = 16
KINDS = {"default model": (MODELS, JPEG), "trivial stages": (TRIVIAL, TINY)}


@contextmanager
def _collector() -> Iterator[str]:
    """A collector in a process of its own that throws away what it gets."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.telemetry", "--collect", str(port)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _collect(port: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def _measure(models: Path, picture: Picture, plan: Plan, collector: str, before: str | None) -> Rows:
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector}
    some = {**traced, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
    rivals = {
        OFF: contestants.splitway(models, picture.path),
        SOME: contestants.splitway(models, picture.path, **some),
        ALL: contestants.splitway(models, picture.path, **traced),
    }
    if before is not None:
        rivals[BEFORE] = earlier(before, models, picture.path)
    with in_turns(rivals) as running:
        measures = {name: served(each, picture, plan.seconds) for name, each in running.items()}
        return alternate(measures, (CLIENTS,), plan.pairs)


def _tell(kind: str, rows: Rows) -> None:
    for name in names(rows):
        against = "" if name == OFF else f", {spread(rows, name, OFF, CLIENTS)} of without traces"
        print(f"{kind}, {name}: {median(rows, name, CLIENTS, 'rate'):.1f}/s{against}")
    if BEFORE in names(rows):
        print(f"{kind}: without traces, against before: {spread(rows, OFF, BEFORE, CLIENTS)}")


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--before", help="an earlier commit to compare with")
    parser.add_argument("--collect", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.collect is not None:
        _collect(options.collect)
        return
    plan = Plan(options.pairs, options.seconds)
    report: dict[str, Any] = {"about": about(), "before": options.before}
    with _collector() as collector:
        for kind, (models, picture) in KINDS.items():
            report[kind] = _measure(models, picture, plan, collector, options.before)
    out = ROOT / "benchmarks" / "results" / f"telemetry-{report['about']['date']}.json"
    out.write_text(json.dumps(report, indent=1) + "\n")
    for kind in KINDS:
        _tell(kind, report[kind])


if __name__ == "__main__":
    main()
