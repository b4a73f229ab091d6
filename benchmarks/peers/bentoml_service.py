"""The two stages as BentoML composes them: two services, the first `depends()` on the second.

Served by `bentoml serve benchmarks.peers.bentoml_service:FeatureExtractor`. As the framework does it best: the picture
comes through a mounted ASGI app (an API that takes a file would write each to disk), features go between the processes
as pickled numpy buffers over a Unix socket, which is what `depends()` does, and uvicorn has uvloop and httptools.
One worker did as much with two cores as two, with less memory. As many engines as cores, each with as many threads, was
the best of five settings: 16 clients are served as fast as with one thread each, one client a third faster.

BentoML's client between services closes its session, with the calls that are under way in it, after every 100th call:
by default between one request in 700 and one in 20 fails with `aiohttp.ServerDisconnectedError` (500) as soon as
several are asked at once. `runner_connection` is its own setting for that, and here it is never reached.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import bentoml
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.peers.stages import Extractor, Head, Prediction

QUIET = {"access": {"enabled": False}}
ENGINES = os.cpu_count() or 1
ONE_SESSION = {"max_requests": 1_000_000_000, "max_age": 86_400.0}


@bentoml.service(name="classifier", logging=QUIET, runner_connection=ONE_SESSION)
class Classifier:
    """Features in, labels out."""

    def __init__(self) -> None:
        self._head = Head()

    @bentoml.api
    async def classify(self, features: np.ndarray) -> list[Prediction]:
        """Run the head at once: it takes less time than a change of threads."""
        return self._head(features)


async def _classify(request: Request) -> JSONResponse:
    service: FeatureExtractor = bentoml.get_current_service()
    return JSONResponse({"predictions": await service.answer(await request.body())})


@bentoml.service(name="feature_extractor", logging=QUIET)
@bentoml.asgi_app(Starlette(routes=[Route("/v1/classify", _classify, methods=["POST"])]))
class FeatureExtractor:
    """Pictures in, labels out; asks the classifier."""

    classifier = bentoml.depends(Classifier)

    def __init__(self) -> None:
        self._extract = Extractor(ENGINES, threads=ENGINES)
        self._threads = ThreadPoolExecutor(ENGINES)

    async def answer(self, picture: bytes) -> list[Prediction]:
        """One picture through both stages."""
        features = await asyncio.get_running_loop().run_in_executor(self._threads, self._extract, picture)
        predictions: list[Prediction] = await self.classifier.to_async.classify(features)
        return predictions
