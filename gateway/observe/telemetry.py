"""All that the gateway says of its work, wired: subscribers are told of requests and of events here."""

from __future__ import annotations

import time

from starlette.requests import Request

from splitway.errors import SplitwayError
from splitway.gateway.flow.request import Result
from splitway.gateway.hop.events import AttemptEnded, Event, Subscriber
from splitway.gateway.observe.latest import Latest
from splitway.gateway.observe.metrics import GatewayMetrics, RequestAnswered, answer_in_log
from splitway.gateway.observe.traffic import Calls, Flow
from splitway.gateway.paths import CLASSIFY, INFER, work_asked_for
from splitway.http.body import plain_headers
from splitway.names import GATEWAY
from splitway.security.callers.principal import known_caller
from splitway.telemetry.log.request_log import RequestLog
from splitway.telemetry.tracer import make_tracer
from splitway.telemetry.watch import Mailbox, Watch


class GatewayTelemetry:
    """All that the gateway says of its work.

    Args:
        stages: the chain's.
        logged_per_second: requests that get a line in the log.
        patience_s: time limits below this count as the caller's fault, not as a server error.
        exposed: whether others than this machine reach it; they do not decide on which traces are kept.
    """

    def __init__(
        self, stages: tuple[str, ...], logged_per_second: int, patience_s: float, *, exposed: bool = False
    ) -> None:
        self.metrics = GatewayMetrics((CLASSIFY, INFER), stages)
        self.tracer = make_tracer(GATEWAY, callers_decide=not exposed)
        self.requests = Flow(time.monotonic)
        self.calls = {stage: Calls(time.monotonic) for stage in stages}
        """To each stage's replicas."""
        self.latest = Latest()
        log = RequestLog("request", "route", logged_per_second, time.monotonic, answer_in_log)
        subscribers = (self.metrics.on_request, self._on_request, self.latest.on_request, log.on_request)
        self._events: Mailbox[Event] = Mailbox((self.metrics.on_event, self._on_event))
        self.on_event: Subscriber = self._events.put
        self.metrics.registry.before_reading.append(self.settle)
        self.watch: Watch[Result] = Watch(self.tracer, subscribers, patience_s=patience_s)

    def _on_request(self, ended: RequestAnswered) -> None:
        self.requests.add(ended.outcome, ended.seconds)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, AttemptEnded):
            self.calls[event.stage].add(event.replica, event.outcome, event.seconds)

    def expect(self, stage: str, replica: str) -> None:
        """A replica has been found: what will be counted of it begins with 0."""
        self.metrics.expect(stage, replica)
        self.calls[stage].expect(replica)

    def forget(self, stage: str, replica: str) -> None:
        """A replica is there no more."""
        self.metrics.forget(stage, replica)
        self.calls[stage].forget(replica)

    def refused(self, request: Request, error: SplitwayError) -> None:
        """Tell of a request for work that was refused first of all: over its caller's limit, or not permitted."""
        # not `request.url`, which fails for some query strings
        route = work_asked_for(request.method, request.scope["path"])
        if route is None:
            return
        self.watch.refused(route, plain_headers(request), error, known_caller(request.scope))

    def settle(self) -> None:
        """Count everything that has happened."""
        self._events.settle()
        self.watch.ended.settle()
