"""What it costs that everything is closed: `make bench WHAT=security` (13 minutes).

The same pipeline in turn: as it is on loopback, without authentication; with API keys, limits on each key
and a token between the services; with TLS between them as well; and with `--before REV` as it was at an earlier
commit. With the default model, and with trivial stages, where nothing but the framework counts. All are started again
and again: the same processes keep what they got from chance, five percent and more, for as long as they live. Prints
the ratios of the rates, and writes benchmarks/results/security-DATE.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import contestants
from benchmarks.earlier import earlier
from benchmarks.prepare import TRIVIAL
from benchmarks.rows import Rows, median, names, spread
from benchmarks.turns import JPEG, MODELS, ROOT, TINY, Picture, Plan, alternate, in_turns, served
from splitway.cli.operate.keys import create
from testkit.machine import about

OPEN, CLOSED, TLS, BEFORE = "on loopback", "keys, limits, token", "and mTLS", "before"
CLIENTS = 16
KINDS = {"default model": (MODELS, JPEG), "trivial stages": (TRIVIAL, TINY)}


def closed_settings(folder: Path) -> tuple[dict[str, str], str]:
    """The settings with which callers need a key and stages a token, and such a key; its file is in `folder`."""
    key, _ = create(folder / "keys.json", "bench", ["infer"], "1d")
    limits = {"SPLITWAY_COST_PER_MINUTE": "1000000000", "SPLITWAY_CONCURRENCY_PER_KEY": "1024"}
    secrets = {"SPLITWAY_KEYS_FILE": str(folder / "keys.json"), "SPLITWAY_SERVICE_TOKEN": "bench" * 8}
    return {**secrets, **limits}, key


def _measure(models: Path, picture: Picture, plan: Plan, folder: Path, before: str | None, start: int) -> Rows:
    closed, key = closed_settings(folder)
    rivals = {
        OPEN: contestants.splitway(models, picture.path),
        CLOSED: contestants.closed_splitway(models, picture.path, closed, key),
        TLS: contestants.closed_splitway(models, picture.path, closed, key, folder / "certs"),
    }
    if before is not None:
        rivals[BEFORE] = earlier(before, models, picture.path)
    first = start % len(rivals)  # or whoever comes last would do so every time
    turns = [*rivals][first:] + [*rivals][:first]
    with in_turns({name: rivals[name] for name in turns}) as running:
        measures = {name: served(each, picture, plan.seconds) for name, each in running.items()}
        return alternate(measures, (CLIENTS,), plan.pairs)


def _started_again(kind: str, starts: int, plan: Plan, before: str | None) -> Rows:
    models, picture = KINDS[kind]
    rows: Rows = []
    for start in range(starts):
        with tempfile.TemporaryDirectory(prefix="bench-keys-") as folder:
            measured = _measure(models, picture, plan, Path(folder), before, start)
        rows += [row | {"pair": row["pair"] + start * plan.pairs} for row in measured]
    return rows


def _tell(kind: str, rows: Rows) -> None:
    base = BEFORE if BEFORE in names(rows) else OPEN
    for name in names(rows):
        against = "" if name == base else f", {spread(rows, name, base, CLIENTS)} of {base}"
        print(f"{kind}, {name}: {median(rows, name, CLIENTS, 'rate'):.1f}/s{against}")


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=6, help="how often all are started")
    parser.add_argument("--pairs", type=int, default=2, help="turns of each, of one start")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--before", help="an earlier commit to compare with")
    options = parser.parse_args()
    plan = Plan(options.pairs, options.seconds)
    report: dict[str, Any] = {"about": about(), "before": options.before}
    for kind in KINDS:
        report[kind] = _started_again(kind, options.starts, plan, options.before)
    out = ROOT / "benchmarks" / "results" / f"security-{report['about']['date']}.json"
    out.write_text(json.dumps(report, indent=1) + "\n")
    for kind in KINDS:
        _tell(kind, report[kind])


if __name__ == "__main__":
    main()
