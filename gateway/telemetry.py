"""All that the gateway says of its work, wired: whoever wants to know is told of requests and of events here."""

from __future__ import annotations

import time

from gateway.chain import ChainAnswer
from gateway.events import Event
from gateway.observe import SERVICE, GatewayMetrics, log_line
from gateway.settings import GatewaySettings
from gateway.traffic import Traffic
from splitway.telemetry.request_log import RequestLog
from splitway.telemetry.tracer import make_tracer
from splitway.telemetry.watch import Watch


class GatewayTelemetry:
    """All that the gateway says of its work."""

    def __init__(self, settings: GatewaySettings, routes: tuple[str, ...]) -> None:
        self.metrics = GatewayMetrics(routes, tuple(stage.name for stage in settings.chain))
        self.tracer = make_tracer(SERVICE)
        self.traffic = Traffic(time.monotonic)
        log = RequestLog("request", "route", settings.request_log_per_second, time.monotonic, log_line)
        subscribers = (self.metrics.on_request, self.traffic.on_request, log.on_request)
        self.watch: Watch[ChainAnswer] = Watch(self.tracer, subscribers)

    def on_event(self, event: Event) -> None:
        self.metrics.on_event(event)
        self.traffic.on_event(event)
