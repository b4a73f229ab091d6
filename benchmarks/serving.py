"""How much of the model is left once it is served: `make bench`.

In one run and on the same pictures, alternating: the uncut model in one process (the limit), Splitway, and the chain
that a capable user writes by hand; `--peers` (`make bench PEERS=1`) adds BentoML and Ray Serve. Further tables: trivial
stages, where only the framework counts, and the feature cache. Writes benchmarks/results/serving-DATE.json;
`python -m benchmarks.serving_table` makes the pages from it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import contestants
from benchmarks.contestants import Running
from benchmarks.machine import about
from benchmarks.prepare import TRIVIAL
from benchmarks.wrk import available, wrk

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "models"
PICTURE = ROOT / "benchmarks" / "pictures" / "cat-500x375.jpg"
TINY = ROOT / "benchmarks" / "pictures" / "tiny.png"
RESULTS = ROOT / "benchmarks" / "results"
LIMIT, SPLITWAY, HANDWRITTEN = "in-process", "Splitway", "hand-written"
BENTOML, RAY_SERVE = "BentoML", "Ray Serve"
CLIENTS = (1, 4, 16, 64)
Figures = dict[str, float]
Measure = Callable[[int], Figures]


def _in_process(seconds: float) -> Measure:
    def measure(clients: int) -> Figures:
        command = [sys.executable, "-m", "benchmarks.inprocess", "--picture", str(PICTURE)]
        command += ["--clients", str(clients), "--seconds", str(seconds)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        figures: Figures = json.loads(result.stdout.splitlines()[-1])
        return figures

    return measure


def _served(running: Running, picture: Path, seconds: float, media_type: str = "image/jpeg") -> Measure:
    def measure(clients: int) -> Figures:
        return wrk(running.url, picture, clients=clients, seconds=seconds, media_type=media_type)

    return measure


def alternate(measures: dict[str, Measure], clients: Iterable[int], pairs: int) -> list[dict[str, Any]]:
    """Measure everybody in turn, `pairs` times; one row for each measurement."""
    rows: list[dict[str, Any]] = []
    for pair in range(pairs):
        for count in clients:
            for name, measure in measures.items():
                figures = measure(count)
                rows.append({"name": name, "clients": count, "pair": pair, **figures})
                print(
                    f"  {pair + 1}/{pairs} {count:3d} clients {name:12s} {figures['rate']:7.1f}/s "
                    f"p50 {figures['p50_ms']:7.1f} ms",
                    file=sys.stderr,
                    flush=True,
                )
    return rows


def _main_table(pairs: int, seconds: float, peers: bool = False) -> dict[str, Any]:
    rivals = {SPLITWAY: contestants.splitway, HANDWRITTEN: contestants.handwritten}
    if peers:
        rivals |= {BENTOML: contestants.bentoml, RAY_SERVE: contestants.ray_serve}
    with ExitStack() as stack:
        running = {name: stack.enter_context(start(MODELS, PICTURE)) for name, start in rivals.items()}
        served = {name: _served(each, PICTURE, seconds) for name, each in running.items()}
        rows = alternate({LIMIT: _in_process(seconds), **served}, CLIENTS, pairs)
        weight = {
            name: {"resident_mb": each.resident_mb, "ready_s": each.ready_s, "processes": len(each.processes)}
            for name, each in running.items()
        }
    return {"rows": rows, "weight": weight}


def _pairwise(
    picture: Path,
    media_type: str,
    pairs: int,
    seconds: float,
    clients: Iterable[int],
    rivals: Mapping[str, AbstractContextManager[Running]],
) -> list[dict[str, Any]]:
    names = list(rivals)
    with rivals[names[0]] as first, rivals[names[1]] as second:
        measures = {
            names[0]: _served(first, picture, seconds, media_type),
            names[1]: _served(second, picture, seconds, media_type),
        }
        return alternate(measures, clients, pairs)


def _trivial(pairs: int, seconds: float) -> dict[str, Any]:
    rivals = {
        SPLITWAY: contestants.splitway(TRIVIAL, TINY),
        HANDWRITTEN: contestants.handwritten(TRIVIAL, TINY),
    }
    return {"rows": _pairwise(TINY, "image/png", pairs, seconds, (1, 16, 64), rivals)}


def _cached(pairs: int, seconds: float) -> dict[str, Any]:
    rivals = {
        "cache": contestants.splitway(MODELS, PICTURE, SPLITWAY_CACHE="memory"),
        "no cache": contestants.splitway(MODELS, PICTURE),
    }
    return {"rows": _pairwise(PICTURE, "image/jpeg", pairs, seconds, (1, 16), rivals)}


def ratios(rows: list[dict[str, Any]], ours: str, theirs: str, clients: int, key: str = "rate") -> list[float]:
    """Ours over theirs, one for each pair, sorted."""
    by_pair: dict[int, dict[str, float]] = {}
    for row in rows:
        if row["clients"] == clients:
            by_pair.setdefault(row["pair"], {})[row["name"]] = row[key]
    return sorted(pair[ours] / pair[theirs] for pair in by_pair.values() if ours in pair and theirs in pair)


def median(rows: list[dict[str, Any]], name: str, clients: int, key: str) -> float:
    """The median over all pairs."""
    return statistics.median(float(row[key]) for row in rows if row["name"] == name and row["clients"] == clients)


TABLES = {"main": _main_table, "trivial": _trivial, "cache": _cached}


def main() -> None:
    """Measure what was chosen and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=TABLES, help="one table; all if not given")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--peers", action="store_true", help="BentoML and Ray Serve too, in the table `main`")
    options = parser.parse_args()
    if not available():
        raise SystemExit("make bench needs wrk; on Debian: apt-get install wrk")
    if shutil.which("git") is None:
        raise SystemExit("make bench needs git, to name the commit that was measured")
    report: dict[str, Any] = {"about": about()}
    for name in options.only or TABLES:
        print(name, file=sys.stderr, flush=True)
        measure = partial(_main_table, peers=options.peers) if name == "main" else TABLES[name]
        report[name] = measure(options.pairs, options.seconds)
    if not options.only:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"serving-{report['about']['date']}.json").write_text(json.dumps(report, indent=1) + "\n")
    for table in options.only or TABLES:
        _print(table, report[table]["rows"])


def _print(table: str, rows: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(row["name"] for row in rows))
    for clients in dict.fromkeys(row["clients"] for row in rows):
        for other in (name for name in names if name != SPLITWAY and SPLITWAY in names):
            found = ratios(rows, SPLITWAY, other, clients)
            print(
                f"{table}: {clients} clients, Splitway / {other}: {statistics.median(found):.2f} "
                f"({found[0]:.2f} to {found[-1]:.2f})"
            )
        for name in names:
            rate, p50_ms, p99_ms = (median(rows, name, clients, key) for key in ("rate", "p50_ms", "p99_ms"))
            print(f"    {name}: {rate:.1f}/s, p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms")


if __name__ == "__main__":
    main()
