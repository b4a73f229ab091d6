"""The whole chain as one Open Inference Protocol model: `pipeline` takes what the extractor takes, gives what a head
gives."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import partial
from typing import Any

from splitway.errors import InvalidInput, NotFound
from splitway.gateway.edge.cost import inputs_cost
from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.fleet.router import Pins, Want
from splitway.gateway.flow.pipeline import GatewayPipeline
from splitway.gateway.flow.request import Request, Result, in_words
from splitway.gateway.paths import INFER
from splitway.http.body_budget import BodyBudget
from splitway.http.fast_routes import Endpoint
from splitway.http.lifecycle import Lifecycle
from splitway.kinds.image.kind import PICTURES
from splitway.kinds.image.limits import PictureLimits
from splitway.names import DEFAULT_HEAD, PIPELINE, PROBABILITIES
from splitway.skins.v2_rest import infer_endpoint
from splitway.telemetry.watch import Watch, Watched
from splitway.wire.aside import by_size
from splitway.wire.context import Answer, CallContext, Limits
from splitway.wire.messages import CLASSIFICATION, FEATURE_SPACE, InferRequest, InferResponse, RequestedOutput
from splitway.wire.tensor import Tensor, TensorSpec

VERSION = "1"
HEAD = "head"
"""The request's parameter that names a head."""
_UNKNOWN_OUTPUTS = (TensorSpec(PROBABILITIES, "FP32", (-1, -1)),)


class PipelinePlane:
    """Serves the protocol's routes of the gateway."""

    def __init__(
        self,
        pipeline: GatewayPipeline,
        watch: Watch[Result],
        limits: Limits,
        pictures: PictureLimits,
        bodies: BodyBudget,
        lifecycle: Lifecycle,
    ) -> None:
        self.lifecycle = lifecycle
        self._pipeline = pipeline
        self._watch = watch
        self._pictures = pictures
        self._endpoint = infer_endpoint(self, limits, bodies)

    def model_not_ready_because(self, model: str, version: str | None) -> str | None:
        _check_model(model, version)
        return self.lifecycle.not_ready_because

    def endpoint(self, model: str, version: str | None) -> Endpoint:
        _check_model(model, version)
        return self._endpoint

    def metadata(self, model: str, version: str | None) -> dict[str, Any]:
        _check_model(model, version)
        router, pins = self._pipeline.router, self._pipeline.rollout.current.pins
        heads = router.heads(pins)
        head = DEFAULT_HEAD if DEFAULT_HEAD in heads or len(heads) != 1 else heads[0]
        extractor = router.served_extractor(Want(frozenset(heads), pins))
        served = router.served_head(head, pins)
        outputs = _UNKNOWN_OUTPUTS if served is None else served.outputs
        return {
            "name": PIPELINE,
            "versions": [VERSION],
            "platform": "splitway",
            "inputs": [spec.metadata() for spec in _inputs(extractor)],
            "outputs": [spec.metadata() for spec in outputs],
            "parameters": {"heads": ",".join(heads), HEAD: head},
        }

    def watch(self, headers: MutableMapping[str, str]) -> Watched[Result]:
        return self._watch.request(INFER, headers)

    async def infer(self, request: InferRequest, context: CallContext) -> Answer:
        head = request.parameters.get(HEAD)
        if head is not None and not (isinstance(head, str) and head and head != "*"):
            raise InvalidInput(f"parameter {HEAD} must be the name of one head")
        heads = () if head is None else (head,)
        outputs = tuple(RequestedOutput(o.name, {CLASSIFICATION: o.top_k} if o.top_k else {}) for o in request.outputs)
        size = sum(tensor.size for tensor in request.inputs)
        cost = await by_size(size, partial(inputs_cost, request.inputs, self._pictures))
        fit = partial(self._check, request)
        asked = Request(request.inputs, heads, context, request.id, outputs, check_fit=fit, cost=cost)
        result = await self._pipeline.run(asked)
        (hop,) = result.heads.values()
        parameters = {FEATURE_SPACE: result.feature_space}
        if result.release is not None:
            parameters["release"] = result.release
        response = InferResponse(PIPELINE, VERSION, hop.response.outputs, request.id, parameters)
        return Answer(response, result.headers, result)

    def _check(self, request: InferRequest, heads: tuple[str, ...], pins: Pins | None) -> None:
        """Raise InvalidInput for tensors that neither a release's extractor takes nor its head gives."""
        router = self._pipeline.router
        extractor = router.served_extractor(Want(frozenset(heads), pins))
        if extractor is not None:  # else there is no way to the head, which the executor says in full
            _check_inputs(_inputs(extractor), request.inputs)
        served = router.served_head(heads[0], pins)
        if served is None:
            return
        gives = [spec.name for spec in served.outputs]
        for output in request.outputs:
            if output.name not in gives:
                named = ", ".join(map(repr, gives))
                raise InvalidInput(f"there is no output {output.name[:80]!r}; the head gives {named}")


def _check_model(model: str, version: str | None) -> None:
    """Raise NotFound unless it is the pipeline."""
    if model != PIPELINE:
        raise NotFound(f"there is no model {model[:80]!r}, only {PIPELINE!r}")
    if version not in (None, VERSION):
        raise NotFound(f"model {PIPELINE!r} has no version {version[:20]!r}, only {VERSION!r}")


def _inputs(extractor: ServedModel | None) -> tuple[TensorSpec, ...]:
    """What the pipeline takes: of an extractor of pictures the encoded picture, of any other all its tensors."""
    return (PICTURES,) if extractor is None or extractor.takes_pictures else extractor.inputs


def _check_inputs(specs: tuple[TensorSpec, ...], tensors: tuple[Tensor, ...]) -> None:
    given = {tensor.name: tensor for tensor in tensors}
    if given.keys() != {spec.name for spec in specs}:
        if specs == (PICTURES,):
            raise InvalidInput(f"the input must be exactly one tensor {PICTURES.name!r} of encoded pictures")
        raise InvalidInput(f"the inputs must be exactly {in_words(specs)}")
    for spec in specs:
        spec.check(given[spec.name])
    if len({tensor.rows for tensor in tensors}) > 1:
        raise InvalidInput("the inputs must have the same number of rows")
