"""Prometheus metrics of every process, and access to them."""

from __future__ import annotations

import ipaddress
import platform
from collections.abc import Callable, Iterable, Iterator
from functools import partial
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

from splitway.errors import Forbidden
from splitway.telemetry.settings import Network, TelemetrySettings
from splitway.version import __version__

PATH = "/metrics"

_DOCS: dict[int | str, dict[str, Any]] = {
    200: {"description": "In Prometheus's text format.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    403: {},
}


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


def add_metrics_route(
    app: FastAPI,
    registry: CollectorRegistry,
    settings: TelemetrySettings,
    is_known: Callable[[Request], bool] = lambda _: False,
) -> None:
    """Answer /metrics to callers on this machine, in the networks that are named, and to those who are known."""
    networks = settings.metrics_networks

    async def metrics(request: Request) -> Response:
        host = request.client.host if request.client is not None else None
        if not is_known(request) and not may_read(host, networks):
            raise Forbidden(
                "metrics are restricted: name the network in SPLITWAY_METRICS_FROM, or set SPLITWAY_METRICS_PORT"
            )
        return exposition(registry)

    app.add_api_route(
        PATH,
        metrics,
        methods=["GET"],
        response_class=Response,
        tags=["health"],
        summary="Give metrics",
        responses=_DOCS,
    )


def may_read(host: str | None, networks: Iterable[Network], *, loopback: bool = True) -> bool:
    """Whether a caller from this address may read metrics.

    Args:
        host: the address; None stands for a socket of this machine.
        networks: from where else.
        loopback: whether this machine may.
    """
    if host is None:
        return loopback
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return (loopback and mapped.is_loopback) or any(mapped in network for network in networks)


def exposition(registry: CollectorRegistry) -> Response:
    """All metrics, in Prometheus's text format."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def metrics_port(
    settings: TelemetrySettings, registry: CollectorRegistry, why_not_ready: Callable[[], str | None]
) -> Callable[[ASGIApp], ASGIApp] | None:
    """Answer, on a port of their own, metrics and health and nothing else; None where there is no such port."""
    port = settings.metrics_port
    nothing_else = partial(_text, f"GET {PATH}, /livez and /readyz are the only routes here", 404)
    answers: dict[str, Callable[[], Response]] = {
        PATH: partial(exposition, registry),
        "/livez": partial(_text, "live"),
        "/readyz": partial(_ready, why_not_ready),
    }

    def layer(app: ASGIApp) -> ASGIApp:
        async def answered(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or _port(scope) != port:
                await app(scope, receive, send)
                return
            answer = answers.get(scope["path"]) if scope["method"] == "GET" else None
            await (answer or nothing_else)()(scope, receive, send)

        return answered

    return layer if port else None


def _text(says: str, status: int = 200) -> Response:
    return Response(f"{says}\n", status, media_type="text/plain")


def _ready(why_not: Callable[[], str | None]) -> Response:
    reason = why_not()
    return _text("ready") if reason is None else _text(reason, 503)


def _port(scope: Scope) -> Any:
    server = scope.get("server")
    return server[1] if server else None
