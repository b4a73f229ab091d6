"""One inference from checked tensors to tensors; knows no HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from functools import partial

from splitway.errors import DeadlineExceeded, InvalidInput, Overloaded, UnfitInput
from splitway.manifest import Manifest
from splitway.names import ATTEMPT_HEADER, CALLER_HEADER
from splitway.runtime.batching.batch import BatchResult, Prepare
from splitway.runtime.batching.batcher import Batcher
from splitway.runtime.batching.unfit import renamed
from splitway.runtime.decode_room import NOTHING, DecodePlace, DecodeRoom
from splitway.runtime.decoders import Decoders
from splitway.runtime.observe import Inference, add_spans, server_timing
from splitway.runtime.stage import InputCheck, Stage, Tensors
from splitway.telemetry.watch import Watch, Watched
from splitway.wire.aside import by_size
from splitway.wire.context import Answer, CallContext
from splitway.wire.deadline import Deadline
from splitway.wire.messages import FEATURE_SPACE, InferRequest, InferResponse
from splitway.wire.tensor import Arrays

_ANSWERS_WITHIN_S = 0.1


class DataPlane:
    """Checks a request, lets the stage decode it, the batcher run it and the stage finish it.

    Args:
        decoders: threads that decode before a batch is gathered; None where the engine's own thread decodes, because
            nothing is gathered there and a request then changes threads once less.
        max_rows: rows that one request may have.
    """

    def __init__(
        self,
        manifest: Manifest,
        stage: Stage,
        batcher: Batcher,
        decoders: Decoders | None,
        room: DecodeRoom,
        watch: Watch[Inference],
        *,
        max_rows: int,
    ) -> None:
        self._name, self._version = manifest.name, manifest.version
        self._says = {FEATURE_SPACE: manifest.gives_space or manifest.feature_space}
        self._stage = stage
        self._batcher = batcher
        self._decoders = decoders
        self._room = room
        self._watch = watch
        self._inputs = InputCheck(stage.accepts, manifest.inputs, max_rows)
        self._gives = {spec.name for spec in stage.gives}
        self._takes = {entry.name for entry in manifest.inputs}

    def watch(self, headers: MutableMapping[str, str]) -> Watched[Inference]:
        return self._watch.request(self._name, headers)

    async def infer(self, request: InferRequest, context: CallContext) -> Answer:
        started_s, deadline = time.perf_counter(), context.deadline
        self._check(request)
        deadline.check("the work began")
        tensors = {tensor.name: tensor for tensor in request.inputs}
        rows = request.inputs[0].rows
        try:
            result = self._at_once(tensors, rows, context)
            if result is None:
                async with asyncio.timeout(deadline.remaining_s):
                    result = await self._decode_and_infer(tensors, rows, context)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the work was done") from None
        except UnfitInput as error:
            if tensors.keys() <= self._takes:
                raise
            raise renamed(error, request.inputs[0].name) from error
        outputs = tuple(self._stage.finish(result.outputs, request))
        times = result.queue_s, result.decode_s, result.compute_s
        said = server_timing(*times, time.perf_counter() - started_s)
        attempt = context.headers.get(ATTEMPT_HEADER, "")
        facts = Inference(self._version, *times, rows, result.batch_rows, attempt)
        response = InferResponse(self._name, self._version, outputs, request.id, self._says)
        return Answer(response, {"server-timing": said}, facts)

    def _at_once(self, tensors: Tensors, rows: int, context: CallContext) -> BatchResult | None:
        """Return the result of what needs no thread; None for what does."""
        if self._stage.needs_decoding(tensors):
            return None
        result = self._batcher.at_once(lambda: self._stage.decode(tensors), rows, context.deadline)
        if result is not None and context.span.recorded:
            add_spans(context.span, result, None)
        return result

    async def _decode_and_infer(self, tensors: Tensors, rows: int, context: CallContext) -> BatchResult:
        """Return the result, in which decoding counts as such in whichever thread it was done."""
        abandoned, deadline = False, context.deadline

        def go_on() -> None:
            deadline.check("its pictures were decoded")
            if abandoned:
                raise DeadlineExceeded("the caller no longer waits for these pictures")

        load, apart = NOTHING, None
        if self._stage.needs_decoding(tensors):
            size = sum(tensor.size for tensor in tensors.values())
            load, apart = await by_size(size, partial(self._stage.weigh, tensors)), self._decoders
        place = self._room.place(load)

        def decode() -> Arrays:
            if place is None:
                return self._stage.decode(tensors, go_on, load)
            with place:
                return self._stage.decode(tensors, go_on, load)

        try:
            if place is not None and not place.given.is_set():
                await _wait_for(place, deadline)
            return await self._run(decode, apart, rows, context)
        except asyncio.CancelledError:
            abandoned = True
            raise
        finally:
            if place is not None:
                place.leave()

    async def _run(self, decode: Prepare, apart: Decoders | None, rows: int, context: CallContext) -> BatchResult:
        """Return the result, decoded in threads of its own where there are any."""
        deadline, span, decoded_s = context.deadline, context.span, None
        trace = span.context if span.recorded else None
        caller = _caller(context) if self._batcher.shares else ""
        if apart is None:
            result = await self._batcher.submit(decode, rows, deadline, trace, caller)
        else:
            decoded = await apart.decode(decode, rows)
            decoded_s, inputs = (decoded.began_s, decoded.ended_s), decoded.inputs
            result = await self._batcher.submit(lambda: inputs, rows, deadline, trace, caller)
            queue_s = result.queue_s + decoded.began_s - decoded.asked_s
            result = result._replace(queue_s=queue_s, decode_s=decoded.ended_s - decoded.began_s)
        if span.recorded:
            add_spans(span, result, decoded_s)
        return result

    def _check(self, request: InferRequest) -> None:
        specs = self._inputs.alternative([tensor.name for tensor in request.inputs])
        self._stage.check(request)
        self._inputs.check(request.inputs, specs)
        for output in request.outputs:
            if output.name not in self._gives:
                known = ", ".join(sorted(self._gives))
                raise InvalidInput(f"there is no output {output.name[:80]!r}; this model gives {known}")


def _caller(context: CallContext) -> str:
    """A word for whose request this is; where the gateway says none, its connection's."""
    said = context.headers.get(CALLER_HEADER)
    return said or ":".join(map(str, context.scope.get("client") or ()))


async def _wait_for(place: DecodePlace, deadline: Deadline) -> None:
    """Wait for memory. Raises Overloaded where there is none, just in time for an answer that says so."""
    left_s = deadline.remaining_s
    try:
        async with asyncio.timeout(left_s - min(_ANSWERS_WITHIN_S, left_s / 10)):
            await place.given.wait()
    except TimeoutError:
        what = "the memory for decoding pictures is in use; send the request again in a moment"
        raise Overloaded(what, retry_after_s=1) from None
