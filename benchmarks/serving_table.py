"""From the newest benchmarks/results/serving-*.json to docs/benchmarks.md and the README's table.

`python -m benchmarks.serving_table` writes both; with `--check` it fails if either differs from the results (in CI).
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from benchmarks.serving import HANDWRITTEN, LIMIT, RESULTS, ROOT, SPLITWAY, median, ratios

README = ROOT / "README.md"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
Rows = list[dict[str, Any]]


def newest() -> dict[str, Any]:
    """The results that are shown."""
    report: dict[str, Any] = json.loads(sorted(RESULTS.glob("serving-*.json"))[-1].read_text())
    return report


def _names(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["name"] for row in rows))


def _spread(rows: Rows, ours: str, theirs: str, clients: int) -> str:
    found = ratios(rows, ours, theirs, clients)
    return f"{statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"


def _measured(rows: Rows, base: str) -> str:
    """One row for each count of clients and each contestant, with its ratio to `base`."""
    lines = [f"| clients | | requests/s | of {base} | p50 ms | p99 ms | errors |", "|---|---|---|---|---|---|---|"]
    for clients in dict.fromkeys(row["clients"] for row in rows):
        for name in _names(rows):
            rate, p50_ms, p99_ms = (median(rows, name, clients, key) for key in ("rate", "p50_ms", "p99_ms"))
            errors = sum(row["errors"] for row in rows if row["name"] == name and row["clients"] == clients)
            share = _spread(rows, name, base, clients)
            lines.append(f"| {clients} | {name} | {rate:.0f} | {share} | {p50_ms:.1f} | {p99_ms:.1f} | {errors:.0f} |")
    return "\n".join(lines)


def _weights(weight: dict[str, dict[str, float]]) -> str:
    lines = ["| | resident MB, all processes | ready after s |", "|---|---|---|"]
    lines += [f"| {name} | {each['resident_mb']:.0f} | {each['ready_s']:.1f} |" for name, each in weight.items()]
    return "\n".join(lines)


def page(report: dict[str, Any]) -> str:
    """docs/benchmarks.md."""
    about = report["about"]
    pairs = 1 + max(row["pair"] for row in report["main"]["rows"])
    return f"""# What serving costs

Made by `make bench` and `python -m benchmarks.serving_table` on {about["date"]}, {about["machine"]}, commit
{about["commit"]}. All contestants are measured in turn within one run, {pairs} times; rates and times are medians,
ratios are medians of the pairs with their spread. One JPEG of 500x375, the default model, LiteRT everywhere, load from
wrk on the same two cores. The limit is the uncut model in one process without any server
(`benchmarks/inprocess.py`). The raw numbers lie in `benchmarks/results/`.

{_measured(report["main"]["rows"], LIMIT)}

{_weights(report["main"]["weight"])}

## Trivial stages

A model that costs next to nothing, features of 10 KB, a picture of 8x8: only the framework counts. Retries, breakers,
deadlines and admission are on; the hand-written chain has none of them.

{_measured(report["trivial"]["rows"], HANDWRITTEN)}

## Hits in the feature cache

The same picture again and again, with `SPLITWAY_CACHE=memory` and without.

{_measured(report["cache"]["rows"], "no cache")}
"""


def table(report: dict[str, Any]) -> str:
    """The README's few rows."""
    rows, about = report["main"]["rows"], report["about"]
    lines = [f"| 500x375 JPEG, share of what the model does in one process | {' | '.join(_names(rows)[1:])} |"]
    lines.append("|---" * len(_names(rows)) + "|")
    for clients in (1, 16):
        shares = [f"{statistics.median(ratios(rows, name, LIMIT, clients)):.2f}" for name in _names(rows)[1:]]
        lines.append(f"| {clients} client{'s' if clients > 1 else ''} | {' | '.join(shares)} |")
    trivial, cache = report["trivial"]["rows"], report["cache"]["rows"]
    lines.append("")
    lines.append(
        f"With trivial stages the chain does {median(trivial, SPLITWAY, 16, 'rate'):.0f} requests/s, "
        f"{statistics.median(ratios(trivial, SPLITWAY, HANDWRITTEN, 16)):.1f} times the hand-written one; pictures "
        f"that come again\n{statistics.median(ratios(cache, 'cache', 'no cache', 16)):.1f} times as many as new ones. "
        f"{about['machine']}, {about['date']}; [all of it](docs/benchmarks.md), made by `make bench`."
    )
    return "\n".join(lines)


def main() -> None:
    """Write, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the pages differ from the results")
    check = parser.parse_args().check
    report = newest()
    readme = README.read_text(encoding="utf-8")
    before, _, rest = readme.partition(BEGIN)
    after = rest.partition(END)[2]
    wanted = {PAGE: page(report), README: f"{before}{BEGIN}\n{table(report)}\n{END}{after}"}
    for file, text in wanted.items():
        if not check:
            file.write_text(text, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text:
            raise SystemExit(
                f"{file.relative_to(ROOT)} is not what the results say: python -m benchmarks.serving_table"
            )


if __name__ == "__main__":
    main()
