"""What a stage says of its work: Prometheus metrics, a line in the log, spans, and the Server-Timing header."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from splitway.http.lifecycle import Lifecycle
from splitway.manifest import Manifest
from splitway.runtime.batching.batch import BatchResult
from splitway.runtime.decode_room import DecodeRoom
from splitway.telemetry.families import Families
from splitway.telemetry.log.request_log import RequestLog
from splitway.telemetry.metrics import new_registry
from splitway.telemetry.outcome import OUTCOMES
from splitway.telemetry.settings import TelemetrySettings
from splitway.telemetry.trace import Span
from splitway.telemetry.tracer import make_tracer
from splitway.telemetry.watch import RequestEnded, Watch

_ATTEMPT = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_ROWS = (1, 2, 4, 8, 16, 32, 64)
_BUSY = {
    "in_flight": "Requests being answered.",
    "queued_rows": "Rows that wait for the engine.",
    "failed_versions": "Versions whose bundles cannot be loaded.",
    "callers_apart": "Callers who share no batch for now, as the model keeps failing on their input.",
}
"""What a model has to do now, by name."""


class Inference(NamedTuple):
    """How one inference came about, in seconds and rows."""

    version: str
    queue_s: float
    decode_s: float
    compute_s: float
    rows: int
    batch_rows: int
    attempt: str
    """Which of its caller's attempts it was, where the caller says so."""


class StageTelemetry:
    """All that a process says of its work; the label `stage` of its metrics is the name of the model.

    Args:
        service: the process's name.
        settings: how it speaks.
        lifecycle: whether the process is ready.
        room: memory for pictures.
    """

    def __init__(self, service: str, settings: TelemetrySettings, lifecycle: Lifecycle, room: DecodeRoom) -> None:
        self.registry = new_registry(service)
        make = Families(self.registry, "splitway_stage")
        self._requests = make.counter("requests_total", "Inference requests.", "stage", "outcome")
        self._duration = make.seconds("duration_seconds", "Time to an answer.", "stage")
        self._queue = make.seconds("queue_seconds", "Time that a request waited for the engine.", "stage")
        self._decode = make.seconds("decode_seconds", "Time to make the model's inputs of what was sent.", "stage")
        self._compute = make.seconds("compute_seconds", "Time in the engine.", "stage")
        self._rows = make.histogram("batch_rows", "Rows of the batch that a request was answered in.", _ROWS, "stage")
        self._received = make.counter("received_bytes_total", "Bytes of the requests' bodies.", "stage")
        self._sent = make.counter("sent_bytes_total", "Bytes of the answers' bodies.", "stage")
        self._busy = {name: make.gauge(name, says, "stage") for name, says in _BUSY.items()}
        used = make.gauge("decode_used_bytes", "Memory given to pictures being decoded, but small ones.")
        used.set_function(lambda: room.used_bytes)
        size = make.gauge("decode_room_bytes", "Memory that there is for pictures being decoded.")
        size.set_function(lambda: room.capacity_bytes)
        waiting = make.gauge("decode_waiting", "Requests whose pictures wait for memory, or their turn.")
        waiting.set_function(lambda: room.waiting)
        ready = make.gauge("ready", "Whether the process takes requests.")
        ready.set_function(lambda: lifecycle.not_ready_because is None)
        self._info = make.gauge(
            "model_info", "What is loaded; always 1.", "stage", "version", "feature_space", "engine"
        )
        self.tracer = make_tracer(service)
        log = RequestLog("inference", "stage", settings.request_log_per_second, time.monotonic, _line)
        self.watch: Watch[Inference] = Watch(self.tracer, (self._count, log.on_request))
        self.registry.before_reading.append(self.watch.ended.settle)

    def serve(self, stage: str, busy: Mapping[str, Callable[[], int]]) -> None:
        """A model is there: all that is counted of it begins with 0; `busy` is asked what it has to do now."""
        for name, gauge in self._busy.items():
            gauge.labels(stage).set_function(busy[name])
        self._requests.begin((stage, outcome) for outcome in OUTCOMES)
        for family in (self._duration, self._queue, self._decode, self._compute, self._rows):
            family.begin([(stage,)])
        for counter in (self._received, self._sent):
            counter.begin([(stage,)])

    def loaded(self, models: Iterable[tuple[Manifest, str]]) -> None:
        """Set the loaded bundles and their engines; earlier ones are forgotten."""
        self._info.clear()
        for manifest, engine in models:
            self._info.labels(manifest.name, manifest.version, manifest.feature_space, engine).set(1)

    def _count(self, ended: RequestEnded[Inference]) -> None:
        stage, done = (ended.name,), ended.facts
        self._requests[ended.name, ended.outcome].inc()
        self._duration[stage].observe(ended.seconds)
        self._received[stage].inc(ended.received_bytes)
        if done is None:
            return
        self._sent[stage].inc(ended.sent_bytes)
        self._queue[stage].observe(done.queue_s)
        self._decode[stage].observe(done.decode_s)
        self._compute[stage].observe(done.compute_s)
        self._rows[stage].observe(done.batch_rows)


def _line(done: Inference) -> dict[str, str | int | float]:
    return {
        "version": done.version,
        "queue_ms": round(done.queue_s * 1000, 3),
        "decode_ms": round(done.decode_s * 1000, 3),
        "compute_ms": round(done.compute_s * 1000, 3),
        "rows": done.rows,
        "batch_rows": done.batch_rows,
        **({"attempt": int(done.attempt)} if _ATTEMPT.fullmatch(done.attempt) else {}),
    }


def add_spans(span: Span, result: BatchResult, decoded_s: tuple[float, float] | None) -> None:
    """Remember where an inference's time went.

    Args:
        span: the inference.
        result: what came of its batch.
        decoded_s: when decoding began and ended, where it was done before the batch was gathered.
    """
    if decoded_s is not None:
        span.add("decode", *decoded_s)
    span.add("queue", result.enqueued_at_s, result.began_s)
    batch = span.add("batch", result.began_s, result.ended_s, rows=result.batch_rows, members=result.members)
    batch.links = result.peers
    if decoded_s is None:
        batch.add("decode", result.began_s, result.prepared_s)
    batch.add("engine", result.prepared_s, result.ended_s)


def server_timing(queue_s: float, decode_s: float, compute_s: float, total_s: float) -> str:
    """Format durations as a Server-Timing header, in milliseconds (W3C Server Timing)."""
    queue, decode, compute, total = queue_s * 1000, decode_s * 1000, compute_s * 1000, total_s * 1000
    return f"queue;dur={queue:.3f}, decode;dur={decode:.3f}, compute;dur={compute:.3f}, total;dur={total:.3f}"
