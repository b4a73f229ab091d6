"""The two stages as Ray Serve composes them: two deployments, the first holds a handle of the second.

`ray_service.py --port P --folder D` runs a Ray of its own until it is told to stop. As the framework does it best: its
settings for throughput are on (RAY_SERVE_THROUGHPUT_OPTIMIZED and RAY_SERVE_ENABLE_HA_PROXY, set by who starts it: gRPC
between the deployments, its HAProxy in front of them instead of a proxy in Python), features go between the processes
as numpy arrays. One replica did as much with two cores as two, with a process less. Each of its engines has a thread
for each core: 16 clients are served nearly as fast as with one thread, one client a quarter faster.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray import serve
from starlette.requests import Request

from benchmarks.peers.stages import Extractor, Head, Prediction

ENGINES = os.cpu_count() or 1
LOOPBACK = "127.0.0.2"
"""What Ray's own processes call this machine; 127.0.0.1 it would replace by an address that others reach."""
AT_ONCE = 100
"""Requests that a replica takes in: more than there are clients, so that none waits to be asked again."""


@serve.deployment(max_ongoing_requests=AT_ONCE, ray_actor_options={"num_cpus": 0})
class Classifier:
    """Features in, labels out."""

    def __init__(self) -> None:
        self._head = Head()

    async def __call__(self, features: NDArray[np.float32]) -> list[Prediction]:
        return self._head(features)


@serve.deployment(max_ongoing_requests=AT_ONCE, ray_actor_options={"num_cpus": 0})
class FeatureExtractor:
    """Pictures in, labels out; asks the classifier."""

    def __init__(self, classifier: Any) -> None:
        self._classifier = classifier
        self._extract = Extractor(ENGINES, threads=ENGINES)
        self._threads = ThreadPoolExecutor(ENGINES)

    async def __call__(self, request: Request) -> dict[str, list[Prediction]]:
        picture = await request.body()
        features = await asyncio.get_running_loop().run_in_executor(self._threads, self._extract, picture)
        return {"predictions": await self._classifier.remote(features)}


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", required=True, help="where Ray keeps its session")
    options = parser.parse_args()
    ray.init(include_dashboard=False, log_to_driver=False, _temp_dir=options.folder, _node_ip_address=LOOPBACK)
    serve.start(http_options={"host": "127.0.0.1", "port": options.port}, logging_config={"enable_access_log": False})
    application = FeatureExtractor.bind(Classifier.bind())  # type: ignore[attr-defined] # the decorator adds it
    serve.run(application, route_prefix="/v1/classify")
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    told.wait()
    ray.shutdown()  # without serve.shutdown(), which drains for 30 s and is for a Ray that goes on


if __name__ == "__main__":
    main()
