"""How much of the model is left once it is served: `make bench`.

In one run and on the same pictures, alternating: the uncut model in one process (the limit), Splitway, and the chain
that a capable user writes by hand; `--peers` (`make bench PEERS=1`) adds BentoML and Ray Serve. Further tables: trivial
stages, where only the framework counts, the feature cache, batches, where the processor time goes, a minute under load.
Writes benchmarks/results/serving-DATE.json; `python -m benchmarks.serving_table` makes the pages from it. The machine
must do nothing else: while something else takes one of two cores, one client gets little more than half.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks import contestants, endurance, processor_time
from benchmarks.contestants import Running
from benchmarks.prepare import TRIVIAL
from benchmarks.rows import Rows, counts, median, names, ratios
from benchmarks.turns import JPEG, MODELS, ROOT, TINY, Picture, Plan, alternate, in_process, in_turns, served
from benchmarks.wrk import available
from testkit.machine import about

RESULTS = ROOT / "benchmarks" / "results"
LIMIT, SPLITWAY, HANDWRITTEN = "in-process", "Splitway", "hand-written"
BENTOML, RAY_SERVE = "BentoML", "Ray Serve"
BATCHED, UNBATCHED = "batches of 8", "one by one"
CLIENTS = (1, 4, 16, 64)
Table = Callable[[Plan], dict[str, Any]]
Start = Callable[[Path, Path], AbstractContextManager[Running]]


def _main_table(plan: Plan) -> dict[str, Any]:
    rivals: dict[str, Start] = {SPLITWAY: contestants.splitway, HANDWRITTEN: contestants.handwritten}
    if plan.peers:
        rivals |= {BENTOML: contestants.bentoml, RAY_SERVE: contestants.ray_serve}
    with in_turns({name: start(MODELS, JPEG.path) for name, start in rivals.items()}) as running:
        measures = {name: served(each, JPEG, plan.seconds) for name, each in running.items()}
        rows = alternate({LIMIT: in_process(plan.seconds), **measures}, CLIENTS, plan.pairs)
        weight = {name: each.weight for name, each in running.items()}
    return {"rows": rows, "weight": weight}


def _among(
    rivals: Mapping[str, AbstractContextManager[Running]], picture: Picture, clients: tuple[int, ...], plan: Plan
) -> dict[str, Any]:
    with in_turns(rivals) as running:
        measures = {name: served(each, picture, plan.seconds) for name, each in running.items()}
        return {"rows": alternate(measures, clients, plan.pairs)}


def _trivial(plan: Plan) -> dict[str, Any]:
    rivals = {
        SPLITWAY: contestants.splitway(TRIVIAL, TINY.path),
        HANDWRITTEN: contestants.handwritten(TRIVIAL, TINY.path),
    }
    return _among(rivals, TINY, (1, 16, 64), plan)


def _cached(plan: Plan) -> dict[str, Any]:
    rivals = {
        "cache": contestants.splitway(MODELS, JPEG.path, SPLITWAY_CACHE="memory"),
        "no cache": contestants.splitway(MODELS, JPEG.path),
    }
    return _among(rivals, JPEG, (1, 16), plan)


def _batched(plan: Plan) -> dict[str, Any]:
    rivals = {
        BATCHED: contestants.splitway(MODELS, JPEG.path, SPLITWAY_ENGINE="tensorflow"),
        UNBATCHED: contestants.splitway(MODELS, JPEG.path, SPLITWAY_ENGINE="tensorflow", SPLITWAY_MAX_BATCH_ROWS="1"),
    }
    return _among(rivals, JPEG, (1, 16), plan)


def _tell_rows(table: str, rows: Rows) -> None:
    for clients in counts(rows):
        for other in (name for name in names(rows) if name != SPLITWAY and SPLITWAY in names(rows)):
            found = ratios(rows, SPLITWAY, other, clients)
            print(
                f"{table}: {clients} clients, Splitway / {other}: {statistics.median(found):.2f} "
                f"({found[0]:.2f} to {found[-1]:.2f})"
            )
        for name in names(rows):
            rate, p50_ms, p99_ms = (median(rows, name, clients, key) for key in ("rate", "p50_ms", "p99_ms"))
            print(f"    {name}: {rate:.1f}/s, p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms")


TABLES: dict[str, Table] = {
    "main": _main_table,
    "trivial": _trivial,
    "cache": _cached,
    "batching": _batched,
    "processor": processor_time.processor,
    "endurance": endurance.endurance,
}
TELL = {"processor": processor_time.tell, "endurance": endurance.tell}
"""Tables that aren't of contestants."""


def main() -> None:
    """Measure what was chosen and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=TABLES, help="one table; all if not given")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--peers", action="store_true", help="BentoML and Ray Serve too, in the table `main`")
    parser.add_argument(
        "--out", type=Path, help="where to; only a run of all tables goes to benchmarks/results unasked"
    )
    options = parser.parse_args()
    if not available():
        raise SystemExit("make bench needs wrk; on Debian: apt-get install wrk")
    if shutil.which("git") is None:
        raise SystemExit("make bench needs git, to name the commit that was measured")
    plan = Plan(options.pairs, options.seconds, options.peers)
    report: dict[str, Any] = {"about": about()}
    for name in options.only or TABLES:
        print(name, file=sys.stderr, flush=True)
        report[name] = TABLES[name](plan)
    out = options.out or (None if options.only else RESULTS / f"serving-{report['about']['date']}.json")
    if out is not None:
        out.write_text(json.dumps(report, indent=1) + "\n")
    for name in options.only or TABLES:
        if name in TELL:
            TELL[name](report[name])
        else:
            _tell_rows(name, report[name]["rows"])


if __name__ == "__main__":
    main()
