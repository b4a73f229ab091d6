"""One hop: from an inference request to a stage's checked answer.

Three nested calls of one shape, one concern each: the hop's time limit, the choice of a replica, the attempt. Retries,
breakers and hedging each get their own between them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from gateway.resilience.replicas import Replica, ReplicaSet, ReplicaState
from gateway.transport import Reply, Transport
from splitway.errors import (
    BadStageAnswer,
    DeadlineExceeded,
    EngineFailed,
    FeatureSpaceMismatch,
    InvalidInput,
    SplitwayError,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from splitway.wire.deadline import TIMEOUT_HEADER
from splitway.wire.v2_json import HEADER_LENGTH, InferRequest, InferResponse, build_request, parse_response
from splitway.wire.v2_rest import CallContext

FORWARDED_HEADERS = ("traceparent", "tracestate", "x-request-id")
_CALLERS_FAULT = (InvalidInput, TooLarge, UnsupportedMediaType)
_ERRORS: dict[int, type[SplitwayError]] = {
    400: InvalidInput,
    409: FeatureSpaceMismatch,
    413: TooLarge,
    415: UnsupportedMediaType,
    500: EngineFailed,
    503: Unavailable,
    504: DeadlineExceeded,
}


@dataclass(frozen=True)
class HopTimings:
    """Where one hop's time went, in seconds. `network` is what the stage itself does not account for."""

    queue: float
    decode: float
    compute: float
    network: float
    total: float


@dataclass(frozen=True)
class HopAnswer:
    """A stage's checked answer and what it took."""

    response: InferResponse
    timings: HopTimings


class StageClient:
    """Calls one stage.

    Args:
        name: the stage, and the model's name on it.
        replicas: where it runs.
        transport: sends the bytes.
        takes_callers_input: whether it is the first of the chain; what a later stage is sent is not the caller's
            doing, and a stage that refuses it is at odds with the one before it.
    """

    def __init__(
        self, name: str, replicas: ReplicaSet, transport: Transport, *, takes_callers_input: bool = True
    ) -> None:
        self.name = name
        self._takes_callers_input = takes_callers_input
        self.replicas = replicas
        self._transport = transport

    async def infer(self, request: InferRequest, context: CallContext) -> HopAnswer:
        """Run the stage once.

        Raises:
            SplitwayError: with `stage` set; what the stage refused keeps the stage's own words.
        """
        if context.deadline.expired:
            raise DeadlineExceeded(f"the time was up before {self.name} was called", stage=self.name)
        started_s = time.perf_counter()
        reply = await self._on_a_replica(request, context)
        return self._read(reply, time.perf_counter() - started_s)

    async def _on_a_replica(self, request: InferRequest, context: CallContext) -> Reply:
        replica = self.replicas.choose()
        if replica is None:
            reasons = self.replicas.why_not_ready()
            raise Unavailable(f"no replica of {self.name} is ready: {reasons}", stage=self.name, retry_after_s=1)
        with replica.borrowed():
            return await self._attempt(replica, request, context)

    async def _attempt(self, replica: Replica, request: InferRequest, context: CallContext) -> Reply:
        body, header_length = build_request(request)
        headers = {name: context.headers[name] for name in FORWARDED_HEADERS if name in context.headers}
        headers |= {
            HEADER_LENGTH: header_length,
            TIMEOUT_HEADER: context.deadline.header(),
            "content-type": "application/octet-stream",
            "accept-encoding": "identity",
        }
        url = f"{replica.url}/v2/models/{self.name}/infer"
        started_s = time.perf_counter()
        try:
            reply = await self._transport.call(
                self.name, "POST", url, timeout_s=context.deadline.remaining_s, headers=headers, body=body
            )
        except Unavailable as error:
            replica.is_not(ReplicaState.UNREACHABLE, error.detail)
            raise
        replica.answered_in(time.perf_counter() - started_s)
        return reply

    def _read(self, reply: Reply, total_s: float) -> HopAnswer:
        if reply.status != 200:
            raise self._error(reply)
        try:
            response = parse_response(reply.body, reply.headers.get(HEADER_LENGTH))
        except InvalidInput as error:
            raise BadStageAnswer(f"{self.name} sent an answer that cannot be read: {error}", stage=self.name) from error
        return HopAnswer(response, _timings(reply.headers, total_s))

    def _error(self, reply: Reply) -> SplitwayError:
        """Keep the stage's words where it refuses; call everything unforeseen nonsense."""
        kind = _ERRORS.get(reply.status)
        try:
            detail = orjson.loads(reply.body)["error"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            kind, detail = None, "with a body that is no error message"
        if kind is None or (kind in _CALLERS_FAULT and not self._takes_callers_input):
            return BadStageAnswer(f"{self.name} answered {reply.status}: {str(detail)[:500]}", stage=self.name)
        retry_after = reply.headers.get("retry-after", "")
        return kind(
            str(detail)[:500], stage=self.name, retry_after_s=float(retry_after) if retry_after.isdigit() else None
        )


def _timings(headers: Mapping[str, str], total_s: float) -> HopTimings:
    """Read the stage's Server-Timing; what is missing or malformed counts as time on the network."""
    parts: dict[str, float] = {}
    for entry in headers.get("server-timing", "").split(","):
        name, _, duration = entry.strip().partition(";dur=")
        try:
            parts[name] = float(duration) / 1000
        except ValueError:
            continue
    network = max(0.0, total_s - parts.get("total", 0.0))
    return HopTimings(parts.get("queue", 0.0), parts.get("decode", 0.0), parts.get("compute", 0.0), network, total_s)
