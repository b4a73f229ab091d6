"""What every process has of metrics, and who may read them."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError
from starlette.responses import Response

from splitway.gateway.app import create_app
from splitway.gateway.settings import GatewaySettings
from splitway.runtime.settings import StageSettings
from splitway.services.classifier.app import create_app as create_classifier
from splitway.telemetry.metrics import may_read, metrics_port, new_registry
from splitway.telemetry.settings import TelemetrySettings


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        (None, True),
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("10.2.0.1", False),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("a-name", False),
    ],
)
def test_who_may_read(host: str | None, *, may: bool) -> None:
    assert may_read(host, [ipaddress.ip_network("10.1.0.0/16")]) is may


async def _get(app: object, path: str, *, client: str = "192.0.2.1", port: int = 8080) -> httpx.Response:
    transport = httpx.ASGITransport(app, client=(client, 1))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=f"http://gateway:{port}") as caller:
        return await caller.get(path)


@pytest.mark.parametrize("service", ["gateway", "classifier"])
async def test_metrics_are_for_this_machine_and_the_networks_that_are_named(service: str, models: Path) -> None:
    named = "198.51.100.0/24, 2001:db8::/32"
    app = (
        create_app(GatewaySettings(metrics_from=named))
        if service == "gateway"
        else create_classifier(StageSettings(metrics_from=named, models=models))
    )
    for host, status in (("127.0.0.1", 200), ("198.51.100.7", 200), ("2001:db8::7", 200), ("192.0.2.1", 403)):
        reply = await _get(app, "/metrics", client=host)
        assert reply.status_code == status
    assert "SPLITWAY_METRICS_FROM" in reply.text
    assert f'service="{service}"' in (await _get(app, "/metrics", client="127.0.0.1")).text


async def test_the_port_for_metrics_answers_nothing_else() -> None:
    async def everything(scope: object, receive: object, send: object) -> None:
        await Response("the service")(scope, receive, send)  # type: ignore[arg-type]

    layer = metrics_port(TelemetrySettings(metrics_port=9464), new_registry("classifier"), lambda: None)
    assert layer is not None
    app = layer(everything)
    assert "splitway_build_info" in (await _get(app, "/metrics", port=9464)).text
    for path in ("/", "/v1/stage", "/metrics/"):
        assert (await _get(app, path, port=9464)).status_code == 404
    assert (await _get(app, "/metrics", port=8080)).text == "the service"


async def test_the_port_for_metrics_says_whether_the_process_is_ready() -> None:
    """For health checks, where every other port asks for a certificate."""
    reason: str | None = "draining"
    layer = metrics_port(TelemetrySettings(metrics_port=9464), new_registry("classifier"), lambda: reason)
    assert layer is not None
    app = layer(Response("the service"))
    reply = await _get(app, "/readyz", port=9464)
    assert (reply.status_code, reply.text) == (503, "draining\n")
    reason = None
    statuses = [(await _get(app, path, port=9464)).status_code for path in ("/livez", "/readyz")]
    assert statuses == [200, 200]


def test_a_wrong_network_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"10\.0\.0\.0/99"):
        TelemetrySettings(metrics_from="10.0.0.0/99")
