"""Prometheus metrics: what every process has of them, and who may read them."""

from __future__ import annotations

import ipaddress
import platform
from collections.abc import Iterable
from typing import Any, TypeVar

from fastapi import FastAPI
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from splitway import __version__
from splitway.errors import Forbidden
from splitway.telemetry.settings import Network, TelemetrySettings

PATH = "/metrics"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of every histogram of seconds, closest around the objective of 0.1 s; those of gateway and stages can be laid
side by side."""
Family = TypeVar("Family", Counter, Gauge, Histogram)


class Children(dict[tuple[str, ...], Family]):
    """A metric's children by their labels' values: looked up in a dictionary, not under the library's lock."""

    def __init__(self, family: Family) -> None:
        super().__init__()
        self._family: Family = family

    def __missing__(self, labels: tuple[str, ...]) -> Family:
        child: Family = self._family.labels(*labels) if labels else self._family
        self[labels] = child
        return child

    def begin(self, several: Iterable[tuple[str, ...]]) -> None:
        """Let these be there, with 0, before anything happens: a rate needs a value to begin with."""
        for labels in several:
            self[labels]

    def drop(self, first: tuple[str, ...]) -> None:
        """Forget the children whose labels begin so."""
        for labels in [labels for labels in self if labels[: len(first)] == first]:
            del self[labels]
            self._family.remove(*labels)


class Families:
    """Makes the metrics of one process.

    Args:
        registry: where they are found.
        prefix: what their names begin with.
    """

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        self._registry = registry
        self._prefix = prefix

    def counter(self, name: str, says: str, *labels: str) -> Children[Counter]:
        return Children(Counter(f"{self._prefix}_{name}", says, labels, registry=self._registry))

    def gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"{self._prefix}_{name}", says, labels, registry=self._registry)

    def seconds(self, name: str, says: str, *labels: str) -> Children[Histogram]:
        return self.histogram(name, says, SECONDS, *labels)

    def histogram(self, name: str, says: str, buckets: tuple[float, ...], *labels: str) -> Children[Histogram]:
        return Children(Histogram(f"{self._prefix}_{name}", says, labels, buckets=buckets, registry=self._registry))


def new_registry(service: str) -> CollectorRegistry:
    """A registry with what every process says: its build, its memory, its processor time."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
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
