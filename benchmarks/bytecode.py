"""How many bytecode instructions a request takes, in each process and function: `make bench WHAT=bytecode BEFORE=REV`.
What keys, limits and the service token add: `python -m benchmarks.bytecode --closed`.

On a noisy machine ten percent of a rate cannot be told from chance; a count can be repeated to within five, if nothing
else keeps the machine busy: what a process does once a second counts for more the fewer requests it has in that time.
It says what Python does and not how long that takes (C, the kernel and the model are not counted), so it finds
what has been added or can be saved, and no ratio of it stands for a rate. Both sides are commits: what is not committed
is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.contestants import Running
from benchmarks.earlier import earlier
from benchmarks.prepare import TRIVIAL
from benchmarks.security import closed_settings
from benchmarks.turns import TINY
from testkit.support import until

TRACER = Path(__file__).parent / "tracer"
NOW = "HEAD"
_WARM_UP = 50
_PATIENCE_S = 30
Counted = Mapping[str, "Cost"]
"""By function."""


@dataclass
class Cost:
    """Of one function, for one request."""

    instructions: float = 0.0
    calls: float = 0.0


def _ask(running: Running, times: int) -> None:
    picture, headers = TINY.path.read_bytes(), {"content-type": TINY.media_type}
    if running.key is not None:
        headers["authorization"] = f"Bearer {running.key}"
    with httpx.Client(trust_env=False, timeout=_PATIENCE_S) as client:
        for _ in range(times):
            client.post(running.url, content=picture, headers=headers).raise_for_status()


def _count(running: Running, name: str, requests: int, folder: Path) -> Counted:
    pid, written = running.pids[name], folder / f"{running.pids[name]}.json"
    os.kill(pid, signal.SIGUSR1)
    _ask(running, requests)
    os.kill(pid, signal.SIGUSR1)
    until(written.exists, _PATIENCE_S)
    costs: dict[str, Cost] = {}
    for file, function, instructions, calls in json.loads(written.read_text()):
        cost = costs.setdefault(f"{Path(file).name} {function}", Cost())
        cost.instructions += instructions / requests
        cost.calls += calls / requests
    return costs


def count(revision: str, requests: int, *, closed: bool = False) -> dict[str, Counted]:
    """Count what each process of the pipeline at a commit does, one after the other."""
    with tempfile.TemporaryDirectory(prefix="counted-") as folder:
        variables, key = {"PYTHONPATH": str(TRACER), "COUNTED_TO": folder}, None
        if closed:
            more, key = closed_settings(Path(folder))
            variables |= more
        with earlier(revision, TRIVIAL, TINY.path, variables, key) as running:
            _ask(running, _WARM_UP)
            return {name: _count(running, name, requests, Path(folder)) for name in running.pids}


def _total(counted: Counted) -> float:
    return sum(cost.instructions for cost in counted.values())


def _tell(name: str, now: Counted, before: Counted, most: int) -> None:
    nothing = Cost()
    against = f", {_total(now) / _total(before):.3f} of {_total(before):,.0f}" if before else ""
    print(f"{name}: {_total(now):,.0f}{against}")
    grown = {
        each: now.get(each, nothing).instructions - before.get(each, nothing).instructions for each in {*now, *before}
    }
    for each in sorted(grown, key=lambda function: -abs(grown[function]))[:most]:
        print(f"  {grown[each]:+8.1f} {now.get(each, nothing).calls:7.2f} calls  {each}")


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    against = parser.add_mutually_exclusive_group()
    against.add_argument("--before", help="an earlier commit to compare with")
    against.add_argument("--closed", action="store_true", help="compare keys, limits and token with no authentication")
    parser.add_argument("--requests", type=int, default=200, help="that are counted, of each process")
    parser.add_argument("--runs", type=int, default=1, help="of both, in turn; prints the median of their ratios")
    parser.add_argument("--functions", type=int, default=20, help="of each process that are listed")
    options = parser.parse_args()
    revision = NOW if options.closed else options.before
    shares = []
    for run in range(options.runs):
        now = count(NOW, options.requests, closed=options.closed)
        before = {} if revision is None else count(revision, options.requests)
        for name, counted in now.items():
            _tell(name, counted, before.get(name, {}), 0 if run else options.functions)
        together = sum(map(_total, now.values()))
        shares += [together / sum(map(_total, before.values()))] if before else []
        print(f"together: {together:,.0f}" + (f", {shares[-1]:.3f} of before" if shares else ""), flush=True)
    if len(shares) > 1:
        print(f"median of {len(shares)} runs: {statistics.median(shares):.3f} of before")


if __name__ == "__main__":
    main()
