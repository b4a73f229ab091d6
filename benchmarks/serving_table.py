"""From the newest benchmarks/results/serving-*.json to docs/benchmarks.md with its plot, and the README's table.

`python -m benchmarks.serving_table` writes them; with `--check` it fails if one differs from the results (in CI).
Tables that the results do not have are left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from benchmarks import endurance, processor_time
from benchmarks.rows import Rows, counts, median, names, ratios, spread
from benchmarks.serving import BENTOML, HANDWRITTEN, LIMIT, RAY_SERVE, RESULTS, SPLITWAY, UNBATCHED
from benchmarks.turns import ROOT
from splitway.cli.models.plot import Line, Plot

README = ROOT / "README.md"
PAGE = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "benchmarks.svg"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
MEMORY_WANTED, READY_WANTED_S = 0.5, 4.0
"""Of Ray Serve's resident memory; from the command to the first answer."""
_COLOURS = {LIMIT: "#6b7280", SPLITWAY: "#2563eb", HANDWRITTEN: "#d97706", BENTOML: "#15803d", RAY_SERVE: "#9333ea"}
_WEIGHT = {
    "resident_mb": ("resident MB, all processes", "{:.0f}"),
    "proportional_mb": ("with shared pages counted once", "{:.0f}"),
    "processes": ("processes", "{:.0f}"),
    "ready_s": ("ready after s", "{:.1f}"),
}


def newest() -> dict[str, Any]:
    """The results that are shown."""
    report: dict[str, Any] = json.loads(sorted(RESULTS.glob("serving-*.json"))[-1].read_text())
    return report


def _measured(rows: Rows, base: str) -> str:
    """One row for each count of clients and each contestant, with its ratio to `base`."""
    lines = [f"| clients | | requests/s | of {base} | p50 ms | p99 ms | errors |", "|---|---|---|---|---|---|---|"]
    for clients in counts(rows):
        for name in names(rows):
            rate, p50_ms, p99_ms = (median(rows, name, clients, key) for key in ("rate", "p50_ms", "p99_ms"))
            errors = sum(row["errors"] for row in rows if row["name"] == name and row["clients"] == clients)
            share = spread(rows, name, base, clients)
            lines.append(f"| {clients} | {name} | {rate:.0f} | {share} | {p50_ms:.1f} | {p99_ms:.1f} | {errors:.0f} |")
    return "\n".join(lines)


def _weights(weight: dict[str, dict[str, float]]) -> str:
    columns = [key for key in _WEIGHT if all(key in each for each in weight.values())]
    lines = [f"| | {' | '.join(_WEIGHT[key][0] for key in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, each in weight.items():
        lines.append(f"| {name} | {' | '.join(_WEIGHT[key][1].format(each[key]) for key in columns)} |")
    ours = weight[SPLITWAY]
    said = f"Splitway is ready after {ours['ready_s']:.1f} s (wanted: at most {READY_WANTED_S:g})"
    if RAY_SERVE in weight:
        share = ours["resident_mb"] / weight[RAY_SERVE]["resident_mb"]
        said += f" and has {share:.2f} of Ray Serve's resident memory (wanted: at most {MEMORY_WANTED:g})"
    return "\n".join([*lines, "", f"{said}."])


def plot(rows: Rows) -> str:
    """docs/benchmarks.svg: what share of the limit each contestant reaches, by clients."""
    lines = [
        Line(
            name,
            _COLOURS[name],
            [(count, statistics.median(ratios(rows, name, LIMIT, count))) for count in counts(rows)],
            dashed=name == LIMIT,
            dots=name != LIMIT,
        )
        for name in names(rows)
    ]
    title = "Requests per second as a share of the uncut model in one process, by clients"
    return Plot(title, "clients", "share of in-process", lines, logarithmic="x", x_ticks=counts(rows)).as_svg()


_PEERS = """
BentoML and Ray Serve run as `benchmarks/peers/` has them, with the product's decoder and engine and with the settings
that served most; their versions stand there. Contestants that are not being measured are frozen.
"""
_TRIVIAL = """
## Trivial stages

A model that costs next to nothing, features of 10 KB, a picture of 8x8: only the framework counts. Retries, breakers,
deadlines and admission are on; the hand-written chain has none of them.

"""
_CACHE = """
## Hits in the feature cache

The same picture again and again, with `SPLITWAY_CACHE=memory` and without.

"""
_BATCHING = """
## Batches

`SPLITWAY_ENGINE=tensorflow`, with batches of up to eight rows (its default) and with `SPLITWAY_MAX_BATCH_ROWS=1`. A
batch is all that waits when the engine is free; no request waits for a batch to fill. With LiteRT batches gain nothing
and are off.

"""
_PROCESSOR = """
## Where the processor time goes

Milliseconds of processor time for one request, user and system, of each of Splitway's processes and of the load
generator; 16 clients. *cores / rate*: what all cores could have done in the time that a request took; the uncut model
in one process keeps them busy, so that for it this is what the model costs.

"""
_ENDURANCE = """
## A minute under load

{clients} clients for {seconds:.0f} s; memory after ten seconds of the same load, and at the end.

"""


def _command(main: dict[str, Any]) -> str:
    return "make bench PEERS=1" if RAY_SERVE in main["weight"] else "make bench"


def page(report: dict[str, Any]) -> str:
    """docs/benchmarks.md."""
    about, main = report["about"], report["main"]
    pairs = 1 + max(row["pair"] for row in main["rows"])
    text = f"""# What serving costs

Made by `{_command(main)}` and `python -m benchmarks.serving_table` on {about["date"]}, {about["machine"]}, commit
{about["commit"]}. All contestants are measured in turn within one run, {pairs} times; rates and times are medians,
ratios are medians of the pairs with their spread. One JPEG of 500x375, the default model, LiteRT everywhere, load from
wrk on the same two cores. The limit is the uncut model in one process without any server
(`benchmarks/inprocess.py`). The raw numbers lie in `benchmarks/results/`.
{_PEERS if RAY_SERVE in main["weight"] else ""}
![The share of the uncut model's requests per second that each contestant reaches, by clients]({PLOT.name})

{_measured(main["rows"], LIMIT)}

{_weights(main["weight"])}
"""
    text += f"{_TRIVIAL}{_measured(report['trivial']['rows'], HANDWRITTEN)}\n"
    text += f"{_CACHE}{_measured(report['cache']['rows'], 'no cache')}\n"
    if "batching" in report:
        text += f"{_BATCHING}{_measured(report['batching']['rows'], UNBATCHED)}\n"
    if "processor" in report:
        text += f"{_PROCESSOR}{processor_time.table(report['processor'])}\n"
    if "endurance" in report:
        text += f"{_ENDURANCE.format(**report['endurance'])}{endurance.table(report['endurance'])}\n"
    return text


def table(report: dict[str, Any]) -> str:
    """The README's few rows."""
    rows, about = report["main"]["rows"], report["about"]
    served = names(rows)[1:]
    lines = [f"| 500x375 JPEG, requests/s as a share of the uncut model in one process | {' | '.join(served)} |"]
    lines.append("|---" * (1 + len(served)) + "|")
    for clients in (1, 16):
        shares = [f"{statistics.median(ratios(rows, name, LIMIT, clients)):.2f}" for name in served]
        lines.append(f"| {clients} client{'s' if clients > 1 else ''} | {' | '.join(shares)} |")
    trivial, cache = report["trivial"]["rows"], report["cache"]["rows"]
    lines.append("")
    lines.append(
        f"With models that do nothing, the gateway serves {median(trivial, SPLITWAY, 16, 'rate'):.0f} requests/s, "
        f"{statistics.median(ratios(trivial, SPLITWAY, HANDWRITTEN, 16)):.1f} times the hand-written chain.\n"
        f"Cached pictures are served {statistics.median(ratios(cache, 'cache', 'no cache', 16)):.1f} times as fast. "
        f"{about['machine']}, {about['date']}; [all of it](docs/benchmarks.md), made by "
        f"`{_command(report['main'])}`."
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
    wanted = {
        PAGE: page(report),
        PLOT: plot(report["main"]["rows"]),
        README: f"{before}{BEGIN}\n{table(report)}\n{END}{after}",
    }
    for file, text in wanted.items():
        if not check:
            file.write_text(text, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text:
            raise SystemExit(
                f"{file.relative_to(ROOT)} is not what the results say: python -m benchmarks.serving_table"
            )


if __name__ == "__main__":
    main()
