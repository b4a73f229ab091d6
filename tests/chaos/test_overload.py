"""Three times as much as the pipeline can do: what it can do is done, and the rest is told so at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from testkit.chaos import arena
from testkit.chaos.arena import STAGES, Replicas
from testkit.chaos.history import Pictures
from testkit.chaos.load import ask_gateway, closed_load, steady_load

SETTLED_S = 2.0


def test_three_times_the_capacity(replicas: Replicas, pictures: Pictures, tmp_path: Path) -> None:
    """Stages are called without the proxies, which would share the two cores with them."""
    urls = {stage: [process.url for process in replicas.pipeline.of(stage)] for stage in STAGES}
    with arena.gateway(urls, tmp_path / "gateway.log") as gateway:
        ask = ask_gateway(gateway.url)
        asyncio.run(closed_load(ask, pictures, clients=8, seconds=3))
        peak = asyncio.run(closed_load(ask, pictures, clients=8, seconds=6))
        peak_rate = peak.statuses[200] / 6
        overload = asyncio.run(steady_load(ask, pictures, rate=3 * peak_rate, seconds=12))
        for entry in overload.entries:
            if entry.status == 200:
                pictures.check(entry)
        after = asyncio.run(steady_load(ask, pictures, rate=1, seconds=1))
    settled = overload.between(SETTLED_S)
    goodput = settled.statuses[200] / (12 - SETTLED_S)
    shed_s = [settled.latency_s(share, status=503) for share in (0.5, 0.99)]
    print(
        f"peak {peak_rate:.0f}/s, offered {3 * peak_rate:.0f}/s, goodput {goodput / peak_rate:.2f} of the peak; "
        f"503 in {shed_s[0] * 1000:.1f} ms, p99 {shed_s[1] * 1000:.1f} ms; "
        f"200 in {settled.latency_s(0.5) * 1000:.0f} ms, p99 {settled.latency_s(0.99) * 1000:.0f} ms"
    )
    assert set(overload.statuses) == {200, 503}, overload.failures()
    assert goodput >= 0.8 * peak_rate
    assert shed_s[0] < 0.010
    assert shed_s[1] < 0.050
    assert after.success == 1
