"""Prometheus metrics: what every process has of them, and who may read them."""

from __future__ import annotations

import ipaddress
import platform
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from splitway import __version__
from splitway.errors import Forbidden
from splitway.telemetry.settings import Network, TelemetrySettings

PATH = "/metrics"


class Registry(CollectorRegistry):
    """prometheus-client's, that first lets in what has happened and has not been counted."""

    def __init__(self) -> None:
        super().__init__()
        self.before_reading: list[Callable[[], None]] = []

    def collect(self) -> Iterator[Metric]:
        for call in self.before_reading:
            call()
        yield from super().collect()


def new_registry(service: str) -> Registry:
    """A registry with what every process says: its build, its memory, its processor time."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = Registry()
    build = Gauge("splitway_build_info", "What runs; always 1.", ["service", "version", "python"], registry=registry)
    build.labels(service, __version__, platform.python_version()).set(1)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def add_metrics_route(app: FastAPI, registry: CollectorRegistry, settings: TelemetrySettings) -> None:
    """Answer /metrics to callers on this machine and in the networks that are named."""
    networks = settings.metrics_networks

    async def metrics(request: Request) -> Response:
        host = request.client.host if request.client is not None else None
        if not may_read(host, networks):
            raise Forbidden(
                "metrics are not for all: name the network in SPLITWAY_METRICS_FROM, or set SPLITWAY_METRICS_PORT"
            )
        return exposition(registry)

    app.add_api_route(PATH, metrics, methods=["GET"], response_class=Response, tags=["health"])


def may_read(host: str | None, networks: Iterable[Network]) -> bool:
    """Whether a caller from this address may read metrics; None stands for a socket of this machine."""
    if host is None:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or any(mapped in network for network in networks)


def exposition(registry: CollectorRegistry) -> Response:
    """All metrics, in Prometheus's text format."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class MetricsPort:
    """ASGI app in front of another: on one port, metrics and nothing else.

    Args:
        app: answers on every other port.
        port: which one.
        registry: the metrics.
    """

    def __init__(self, app: ASGIApp, port: int, registry: CollectorRegistry) -> None:
        self._app = app
        self._port = port
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _port(scope) != self._port:
            await self._app(scope, receive, send)
        elif (scope["method"], scope["path"]) == ("GET", PATH):
            await exposition(self._registry)(scope, receive, send)
        else:
            await Response(f"GET {PATH} is all there is here\n", 404, media_type="text/plain")(scope, receive, send)


def _port(scope: Scope) -> Any:
    server = scope.get("server")
    return server[1] if server else None
