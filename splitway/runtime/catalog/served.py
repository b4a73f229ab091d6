"""One version of one model being served: its engines, its batcher and its data plane, from start to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from splitway.bundle import Bundle, check_place, load_bundle
from splitway.errors import BundleError, TooLarge, Unavailable
from splitway.http.body_budget import BodyBudget
from splitway.manifest import Manifest
from splitway.runtime.batching.batch import BatchPolicy
from splitway.runtime.batching.batcher import Batcher
from splitway.runtime.batching.threads import Runs
from splitway.runtime.catalog.catalog import FoundVersion, Scope
from splitway.runtime.dataplane import DataPlane
from splitway.runtime.decode_room import DecodeRoom
from splitway.runtime.decoders import Decoders
from splitway.runtime.engines.cores import available_cores
from splitway.runtime.engines.load import (
    ENGINES,
    Engine,
    load_engine,
    warm_up,
)
from splitway.runtime.engines.pool import EnginePool, slots_for
from splitway.runtime.engines.tested import TestedEngine
from splitway.runtime.observe import Inference
from splitway.runtime.settings import StageSettings
from splitway.runtime.stage import Stage
from splitway.skins.v2_rest import infer_endpoint
from splitway.telemetry.watch import Watch
from splitway.wire.room import rows_that_fit
from splitway.wire.tensor import Arrays, TensorSpec

MakeStage = Callable[[Bundle, StageSettings], Stage]


@dataclass(frozen=True)
class Card:
    """What is said of a version to those who ask."""

    manifest: Manifest
    inputs: Sequence[TensorSpec]
    """What may be sent, every alternative."""
    outputs: Sequence[TensorSpec]
    engine: str
    max_rows: int
    """Rows that one request may have."""


def open_bundle(found: FoundVersion, name: str, scope: Scope) -> Bundle:
    """Read and check a bundle. Raises BundleError if it is damaged, not signed, or is not what its place says."""
    bundle = load_bundle(found.folder, role=scope.role, keys=scope.keys)
    check_place(found.folder, name, bundle.manifest)
    return bundle


class ServedBundle:
    """A checked bundle and everything that answers for it; `bodies` and `room` are shared by all of a process.

    Raises:
        BundleError: the stage cannot serve this bundle.
    """

    def __init__(
        self,
        bundle: Bundle,
        make_stage: MakeStage,
        settings: StageSettings,
        watch: Watch[Inference],
        runs: Runs,
        bodies: BodyBudget,
        room: DecodeRoom,
    ) -> None:
        manifest = bundle.manifest
        self.label = f"{manifest.name} version {manifest.version}"
        self._bundle = bundle
        engine = settings.engine_for(manifest)
        traits = ENGINES[engine]
        self._threads = settings.engine_threads(manifest.role)
        self._stage = make_stage(bundle, settings)
        inputs = [spec for alternative in self._stage.accepts for spec in alternative]
        rows = _most_rows(bundle, settings)
        self.card = Card(manifest, inputs, self._stage.gives, engine, rows)
        self._max_body_bytes = settings.max_body_bytes
        self._engines: EnginePool | None = None
        self.in_flight = 0
        """Requests that are being answered."""
        self._request_ended = asyncio.Event()
        batch_rows = settings.max_batch_rows or traits.batch_rows
        self._slots = slots_for(self._threads, parallel=traits.side_by_side)
        wait_s = settings.max_batch_wait_ms / 1000
        policy = BatchPolicy(batch_rows, wait_s, settings.queue_rows, self._slots, traits.batches_at_once)
        self._batcher = Batcher(self._infer, policy, name=self.label, runs=runs)
        self._decoders = (
            Decoders(available_cores(), settings.queue_rows, runs, self.label) if self._batcher.shares else None
        )
        plane = DataPlane(manifest, self._stage, self._batcher, self._decoders, room, watch, max_rows=rows)
        self._infer_over_http = infer_endpoint(plane, replace(settings.limits, max_rows=rows), bodies)

    @property
    def queued_rows(self) -> int:
        """Rows that wait for the engine, or to be decoded for it."""
        return self._batcher.waiting_rows + (0 if self._decoders is None else self._decoders.rows)

    @property
    def callers_apart(self) -> int:
        """Callers who share no batch for now, as the model keeps failing on what they send."""
        return self._batcher.callers_apart

    def load(self) -> None:
        """Load and warm the engines; to be called in a thread. Raises any SplitwayError, and what an engine raises."""
        # The engines keep the files that they read, the bundle need not: it may outlive them.
        bundle = Bundle(self._bundle.folder, self._bundle.manifest, self._bundle.labels)

        def load_one(threads: int) -> Engine:
            engine = load_engine(self.card.engine, bundle, threads)
            warm_up(engine, bundle)
            return TestedEngine(engine, bundle.manifest.inputs)

        self._engines = EnginePool(load_one, self._threads, self._slots)
        self._stage.warm_up()

    def start(self) -> None:
        """Begin to answer. To be called when it is loaded, on the event loop."""
        self._batcher.start()

    async def endpoint(self, request: Request) -> Response:
        """Answer one inference over HTTP; it counts from before its body is read until its answer is made."""
        self.in_flight += 1
        try:
            return await self._infer_over_http(request)
        except TooLarge as error:
            raise self._with_rows(error, request) from None
        finally:
            self.in_flight -= 1
            self._request_ended.set()

    def _with_rows(self, error: TooLarge, request: Request) -> TooLarge:
        """Say with a refusal of a body's bytes how many rows fit into one."""
        size, declared = self.card.manifest.input_row_bytes, request.headers.get("content-length", "")
        rows = rows_that_fit(size, self._max_body_bytes)
        if rows is None or not declared.isdigit() or int(declared) <= self._max_body_bytes:
            return error
        return TooLarge(f"{error.detail}, in which {min(rows, self.card.max_rows)} rows of {size} bytes fit")

    async def drained(self) -> None:
        """Wait until no request is being answered."""
        while self.in_flight:
            self._request_ended.clear()
            await self._request_ended.wait()

    async def close(self) -> None:
        """Stop the threads and free the engines' memory. A thread that does not stop in time is abandoned."""
        await self._batcher.close()
        if self._decoders is not None:
            await self._decoders.close()
        engines, self._engines = self._engines, None
        if engines is not None:
            await asyncio.to_thread(engines.close)

    def _infer(self, inputs: Arrays, alone: bool) -> dict[str, NDArray[Any]]:
        if self._engines is None:
            raise Unavailable("the model is being closed", stage=self.card.manifest.name, retry_after_s=1)
        return self._engines.infer(inputs, alone)


def _most_rows(bundle: Bundle, settings: StageSettings) -> int:
    """Rows that one request may have. Raises BundleError where the settings leave no room for a single one."""
    rows, manifest = settings.rows_for(bundle.manifest), bundle.manifest
    if rows == 0:
        raise BundleError(
            f"{bundle.folder}: a row takes {manifest.input_row_bytes} bytes and gives {manifest.output_row_bytes}, "
            f"and a request has at most {settings.max_body_bytes}, a reply {settings.max_reply_bytes}: set "
            "SPLITWAY_MAX_BODY_BYTES or SPLITWAY_MAX_REPLY_BYTES higher, for the gateway too, or split elsewhere"
        )
    return rows
