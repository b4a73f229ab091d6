"""Load on one service, and its knee: `make load SERVICE=gateway|feature_extractor|classifier`.

Closed arrivals by Locust first, which say how much the service answers at most; then open arrivals, which start below
that and search for the highest rate whose p99 keeps the mark. Writes reports/load-SERVICE.html.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from splitway.cli.console import ERR, OUT, Steps
from splitway.errors import SetupError
from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.machine import about
from testkit.support import LogBook
from tests.load.arrivals import ROOT, closed_steps, open_step
from tests.load.inputs import SERVICES, Question, question
from tests.load.knee import LEAST_REQUESTS, find_knee
from tests.load.others import Others
from tests.load.report import Report
from tests.load.step import Step

MARKS_MS = {"gateway": 100.0, "feature_extractor": 75.0, "classifier": 25.0}
_SHARE_OF_PEAK = 0.4
_BREATH_S = 0.5  # between open steps, for what an overload has left behind


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def _users(text: str) -> list[int]:
    counts = [int(each) for each in text.split(",")]
    if min(counts) < 1:
        raise ValueError(text)
    return counts


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load.run", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("service", choices=SERVICES, nargs="?", default="gateway")
    parser.add_argument("--host", help="load this address instead of starting a pipeline: http://127.0.0.1:8080")
    parser.add_argument("--duration", type=_positive, default=5.0, help="seconds of each step (%(default)s)")
    parser.add_argument("--mark", type=_positive, help=f"p99 to be kept, in ms ({MARKS_MS})")
    parser.add_argument("--users", type=_users, default=[1, 2, 4, 8, 16, 32], help="closed steps: 1,2,4,8,16,32")
    parser.add_argument("--max-rate", type=_positive, default=math.inf, help="offer no more requests a second")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of bundles")
    parser.add_argument("--report", type=Path, help="where the report goes (reports/load-SERVICE.html)")
    options = parser.parse_args(arguments)
    if options.max_rate * options.duration < LEAST_REQUESTS:
        parser.error(f"a step needs {LEAST_REQUESTS} requests: more seconds, or a higher --max-rate")
    return options


@contextmanager
def _target(options: argparse.Namespace, progress: Steps) -> Iterator[str]:
    """The address to load: the one that was given, or that of a pipeline started for this run."""
    if options.host is not None:
        if not options.host.startswith(("http://", "https://")):
            raise SetupError(f"the host is an address such as http://127.0.0.1:8080, not {options.host!r}")
        yield options.host.rstrip("/")
        return
    progress.say("starting the pipeline")
    with LocalPipeline(LaunchPlan(options.models, port=0, run_file=None), LogBook().line) as pipeline:
        pipeline.wait_ready()
        yield pipeline.of(options.service)[0].url
        pipeline.raise_if_ended()


class _Seen:
    """Keeps the steps and shows each as it ends."""

    def __init__(self, progress: Steps) -> None:
        self._progress = progress
        self.steps: list[Step] = []
        self.others = Others()
        self.others.lap()

    def __call__(self, step: Step) -> None:
        self.steps.append(step)
        self.others.lap()
        failures = f", {step.failures} failed" if step.failures else ""
        self._progress.say(
            f"{step.arrivals} {step.name}: answered {step.rate_answered:.1f}/s, p99 {step.p99_ms:.1f} ms{failures}"
        )


def _measured(options: argparse.Namespace, url: str, asked: Question, progress: Steps) -> Report:
    mark_ms = options.mark or MARKS_MS[options.service]
    seen = _Seen(progress)
    progress.say(f"closed arrivals: {options.duration:g} s for each of {options.users} users")
    closed_steps(options.service, url, options.users, options.duration, seen)
    peak = max(step.rate_answered for step in seen.steps)
    if peak == 0:
        raise SetupError(f"the {options.service} gave no right answer: {seen.steps[0].told or 'it was too slow'}")

    def measure(rate: float) -> Step:
        time.sleep(_BREATH_S)
        step = open_step(asked, url, rate, options.duration)
        seen(step)
        return step

    progress.say(f"open arrivals: searching the knee from {_SHARE_OF_PEAK:.0%} of {peak:.1f}/s")
    start = peak * _SHARE_OF_PEAK
    knee = find_knee(measure, start=start, mark_ms=mark_ms, seconds=options.duration, most=options.max_rate)
    machine = ", ".join(about().values())
    others = seen.others.sentence(knows_service=options.host is None)
    return Report(options.service, url, mark_ms, options.duration, seen.steps, knee, machine, others)


def _run(options: argparse.Namespace) -> None:
    path = options.report or ROOT / "reports" / f"load-{options.service}.html"
    with Steps() as progress, _target(options, progress) as url:
        asked = question(options.service, url)
        report = _measured(options, url, asked, progress)
    report.write(path)
    OUT.print(report.table())
    OUT.print(report.sentence)
    OUT.print(report.others)
    OUT.print(f"report: {path}", style="dim")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and end with one line for what went wrong."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # everything is stopped in the same way
    try:
        _run(options)
    except SetupError as error:
        ERR.print(f"load: {error.detail}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        ERR.print("load: stopped; no report was written")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
