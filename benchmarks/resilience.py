"""The chaos tests' scenarios through Splitway's gateway and through Envoy, side by side: `make bench WHAT=resilience`.

Every scenario gets fresh replicas; both fronts get the same pictures at the same rate and the same trouble from the
same proxies, one after the other. Writes benchmarks/results/resilience-DATE.json and docs/resilience.md. It takes about
25 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.envoy import envoy
from benchmarks.resilience_table import table
from splitway.bundle import load_bundle
from testkit.chaos import arena
from testkit.chaos.arena import STAGES, Replicas
from testkit.chaos.history import History, Pictures, quantile
from testkit.chaos.load import Ask, ask_gateway, ask_stages, closed_load, steady_load
from testkit.chaos.proxy import Toxics
from testkit.chaos.run import Outcome, run_scenario
from testkit.chaos.scenarios import SCENARIOS, bad_line
from testkit.machine import about

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "models"
SPLITWAY, ENVOY, PLAIN = "Splitway", "Envoy", "three attempts"
PLAIN_SETTINGS = {"SPLITWAY_RETRY_SHARE": "10", "SPLITWAY_BREAKERS": "forced_closed"}
"""No budget and no breaker: what a plain retry does."""
Figures = dict[str, float]


@contextmanager
def front(name: str, urls: dict[str, list[str]], *, adaptive: bool = False) -> Iterator[Ask]:
    """Put one of the contestants in front of the replicas."""
    with tempfile.TemporaryDirectory() as folder:
        if name == ENVOY:
            with envoy(urls, Path(folder), adaptive=adaptive) as url:
                yield ask_stages(url)
        else:
            settings = PLAIN_SETTINGS if name == PLAIN else {}
            with arena.gateway(urls, Path(folder) / "gateway.log", **settings) as gateway:
                yield ask_gateway(gateway.url)


def _figures(outcome: Outcome, pictures: Pictures) -> Figures:
    history, scenario = outcome.history, outcome.scenario
    answered = [entry for entry in history.entries if entry.status == 200]
    right = sum(pictures.is_right(entry) for entry in answered)
    over_s = scenario.begins_s + scenario.lasts_s
    late = [entry.due_s - over_s for entry in history.between(over_s).entries if entry.status != 200]
    return {
        "requests": len(history.entries),
        "success": right / len(history.entries),
        "success_in_trouble": outcome.troubled.success,
        "wrong": len(answered) - right,
        "load": max(outcome.load(stage) for stage in STAGES),
        "p99_ms": history.latency_s(0.99) * 1000 if answered else 0.0,
        "normal_after_s": max(late, default=0.0),
    }


def _ten_times_slower(replicas: Replicas, ask: Ask, pictures: Pictures) -> Figures:
    def load(seconds: float) -> History:
        return asyncio.run(steady_load(ask, pictures, rate=25, seconds=seconds))

    healthy = load(12)
    with bad_line("feature_extractor", Toxics(latency_s=9 * 0.016))(replicas):
        history = load(25)
    settled = history.between(10)
    ratio = settled.latency_s(0.99) / healthy.latency_s(0.99)
    return {"requests": len(history.entries), "success": history.success, "p99_of_healthy": ratio}


def _overload(name: str, replicas: Replicas, pictures: Pictures) -> Figures:
    """Three times the peak; Envoy with its adaptive concurrency limit, without which it sheds nothing."""
    urls = {stage: [process.url for process in replicas.pipeline.of(stage)] for stage in STAGES}
    with front(name, urls, adaptive=name == ENVOY) as ask:
        asyncio.run(closed_load(ask, pictures, clients=8, seconds=3))
        peak = asyncio.run(closed_load(ask, pictures, clients=8, seconds=6)).statuses[200] / 6
        history = asyncio.run(steady_load(ask, pictures, rate=3 * peak, seconds=12)).between(2)
    refused_s = [entry.took_s for entry in history.entries if entry.status != 200] or [0.0]
    return {
        "requests": len(history.entries),
        "peak": peak,
        "goodput_of_peak": history.statuses[200] / 10 / peak,
        "refused_p50_ms": quantile(refused_s, 0.5) * 1000,
        "refused_p99_ms": quantile(refused_s, 0.99) * 1000,
        "p99_ms": history.latency_s(0.99) * 1000,
    }


def measure(scenario: str, name: str, pictures: Pictures) -> Figures:
    """Run one scenario with one contestant on fresh replicas."""
    with arena.replicas(MODELS) as replicas:
        if scenario == "overload, 3x":
            return _overload(name, replicas, pictures)
        with front(name, replicas.urls) as ask:
            if scenario == "ten times slower":
                return _ten_times_slower(replicas, ask, pictures)
            return _figures(run_scenario(SCENARIOS[scenario], replicas, ask, pictures), pictures)


def main() -> None:
    """Measure what was chosen; write the page when that was everything."""
    scenarios = [*SCENARIOS, "ten times slower", "overload, 3x"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=scenarios, help="a scenario; all if not given")
    chosen = parser.parse_args().only or scenarios
    pictures = Pictures(
        40,
        load_bundle(MODELS / "feature_extractor" / "1", role="extractor"),
        load_bundle(MODELS / "classifier" / "1", role="head"),
    )
    results: dict[str, dict[str, Figures]] = {}
    for number, scenario in enumerate(chosen, 1):
        contestants = [SPLITWAY, ENVOY, *([PLAIN] if scenario == "both replicas refuse 30 %" else [])]
        for name in contestants:
            print(f"{number}/{len(chosen)} {scenario}: {name}", file=sys.stderr, flush=True)
            results.setdefault(scenario, {})[name] = measure(scenario, name, pictures)
            print(f"    {json.dumps(results[scenario][name])}", file=sys.stderr, flush=True)
    machine = about()
    report = {"about": machine, "results": results}
    text = table(report)
    print(text)
    if chosen == scenarios:
        folder = ROOT / "benchmarks" / "results"
        folder.mkdir(exist_ok=True)
        file = folder / f"resilience-{machine['date']}.json"
        file.write_text(json.dumps(report, indent=1) + "\n")
        (ROOT / "docs" / "resilience.md").write_text(text)


if __name__ == "__main__":
    main()
