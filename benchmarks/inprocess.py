"""The limit: the uncut model in this process, same engine, same decoder, no server, no network.

`python -m benchmarks.inprocess --picture F --clients N --seconds S` prints one line of JSON. One caller gets an engine
with every core; more get one engine with one thread each on as many threads as there are cores, which does most.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.prepare import UNCUT
from splitway.bundle import load_bundle
from splitway.kinds.image.decode import PictureDecoder, to_model_input
from splitway.kinds.image.limits import PictureLimits

ROOT = Path(__file__).parent.parent


def _classifier(threads: int) -> Callable[[bytes], None]:
    bundle = load_bundle(ROOT / "models" / "feature_extractor" / "1", role="extractor")
    preprocessing = bundle.manifest.preprocessing
    assert preprocessing is not None
    decode = PictureDecoder(preprocessing, PictureLimits())
    interpreter = Interpreter(model_content=(UNCUT / "model.tflite").read_bytes(), num_threads=threads)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def classify(picture: bytes) -> None:
        interpreter.set_tensor(taken["index"], to_model_input(decode(picture)[None], preprocessing))
        interpreter.invoke()
        np.argsort(-interpreter.get_tensor(given["index"])[0])[:5]

    return classify


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    workers = min(options.clients, cores)
    classifiers = [_classifier(cores if workers == 1 else 1) for _ in range(workers)]
    picture = options.picture.read_bytes()
    times_s: list[float] = []

    def work(classify: Callable[[bytes], None]) -> None:
        classify(picture)
        barrier.wait()
        ends_s = time.perf_counter() + options.seconds
        while (began_s := time.perf_counter()) < ends_s:
            classify(picture)
            times_s.append(time.perf_counter() - began_s)

    barrier = threading.Barrier(workers)
    threads = [threading.Thread(target=work, args=(each,)) for each in classifiers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ranked = sorted(times_s)
    wait = options.clients / workers  # who is not being served stands in the queue
    figures = {
        "rate": len(ranked) / options.seconds,
        "p50_ms": ranked[len(ranked) // 2] * 1000 * wait,
        "p99_ms": ranked[int(len(ranked) * 0.99)] * 1000 * wait,
        "errors": 0,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
