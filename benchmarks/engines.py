"""Time of the backbone per picture, LiteRT against TensorFlow, alternating in one run.

python benchmarks/engines.py: the default bundles, two threads, batches of 1 and 8.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np

from splitway.bundle import load_bundle
from splitway.runtime.engines.load import Engine, load_engine, warm_up

THREADS = 2
ROUNDS = 20


def _ms_per_row(engine: Engine, rows: int) -> float:
    pixels = np.zeros((rows, 224, 224, 3), np.uint8)
    started_s = time.perf_counter()
    engine.infer({"pixels": pixels})
    return (time.perf_counter() - started_s) / rows * 1000


def main() -> None:
    """Print medians per picture and the ratio."""
    bundle = load_bundle(Path("models/feature_extractor/1"), role="extractor")
    engines = [load_engine(name, bundle, THREADS) for name in ("litert", "tensorflow")]
    for engine in engines:
        warm_up(engine, bundle)
    for rows in (1, 8):
        rounds = [[_ms_per_row(engine, rows) for engine in engines] for _ in range(ROUNDS)]
        medians = [statistics.median(values) for values in zip(*rounds, strict=True)]
        ratio = statistics.median(b / a for a, b in rounds)
        print(
            f"batch of {rows}: litert {medians[0]:.1f} ms, tensorflow {medians[1]:.1f} ms a picture, ratio {ratio:.1f}"
        )


if __name__ == "__main__":
    main()
