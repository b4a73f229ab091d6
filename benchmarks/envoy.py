"""Envoy in the gateway's place: its process and its settings.

The settings are the best that were found for this work: retries on another host with the same number, times and
back-off as Splitway's, a retry budget, outlier detection, active health checks, the least-request balancer. Envoy does
not chain, so its caller does: one call of each stage, with the features in between.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from testkit.support import free_port

BINARY = Path(__file__).parent.parent / ".peers" / "envoy" / "bin" / "envoy"
_HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_ADAPTIVE = "type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency"
_PREVIOUS_HOSTS = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"


def _address(url: str) -> dict[str, Any]:
    host, _, port = url.removeprefix("http://").partition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _retry_policy() -> dict[str, Any]:
    return {
        "retry_on": "connect-failure,refused-stream,reset,gateway-error,retriable-status-codes",
        "retriable_status_codes": [429],
        "num_retries": 2,
        "per_try_timeout": "1s",
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
        "retry_host_predicate": [
            {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {"@type": _PREVIOUS_HOSTS}}
        ],
        "host_selection_retry_max_attempts": 5,
    }


def _cluster(stage: str, urls: Sequence[str]) -> dict[str, Any]:
    return {
        "name": stage,
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {
            "cluster_name": stage,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(url)}} for url in urls]}],
        },
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "0.25s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/v2/health/ready"},
            }
        ],
        "outlier_detection": {
            "interval": "1s",
            "base_ejection_time": "1s",
            "max_ejection_time": "30s",
            "max_ejection_percent": 50,
            "split_external_local_origin_errors": True,
            "consecutive_5xx": 5,
            "consecutive_gateway_failure": 5,
            "enforcing_consecutive_gateway_failure": 100,
            "consecutive_local_origin_failure": 5,
            "failure_percentage_minimum_hosts": 2,
            "failure_percentage_request_volume": 10,
            "failure_percentage_threshold": 50,
            "enforcing_failure_percentage": 100,
            "enforcing_failure_percentage_local_origin": 100,
            "success_rate_minimum_hosts": 2,
            "success_rate_request_volume": 10,
        },
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_requests": 512,
                    "max_pending_requests": 512,
                    "max_connections": 512,
                    "retry_budget": {"budget_percent": {"value": 10}, "min_retry_concurrency": 1},
                }
            ]
        },
    }


def _filters(*, adaptive: bool) -> list[dict[str, Any]]:
    controller = {
        "sample_aggregate_percentile": {"value": 50},
        "concurrency_limit_params": {"concurrency_update_interval": "0.1s"},
        "min_rtt_calc_params": {"interval": "30s", "request_count": 50, "jitter": {"value": 10}},
    }
    limit = {
        "name": "envoy.filters.http.adaptive_concurrency",
        "typed_config": {
            "@type": _ADAPTIVE,
            "gradient_controller_config": controller,
            "enabled": {"default_value": True},
        },
    }
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}
    return [limit, router] if adaptive else [router]


def bootstrap(urls: Mapping[str, Sequence[str]], port: int, *, adaptive: bool) -> dict[str, Any]:
    """Envoy's bootstrap: one listener, one route and one cluster a stage.

    Args:
        urls: each stage's replicas.
        port: where it listens on loopback.
        adaptive: whether its adaptive concurrency limit stands in front.
    """
    routes = [
        {
            "match": {"prefix": f"/v2/models/{stage}"},
            "route": {"cluster": stage, "timeout": "10s", "retry_policy": _retry_policy()},
        }
        for stage in urls
    ]
    manager = {
        "@type": _HTTP,
        "stat_prefix": "edge",
        "route_config": {"virtual_hosts": [{"name": "stages", "domains": ["*"], "routes": routes}]},
        "http_filters": _filters(adaptive=adaptive),
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {
        "name": "edge",
        "address": _address(f"http://127.0.0.1:{port}"),
        "filter_chains": [{"filters": filters}],
    }
    clusters = [_cluster(stage, several) for stage, several in urls.items()]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


@contextmanager
def envoy(urls: Mapping[str, Sequence[str]], folder: Path, *, adaptive: bool = False) -> Iterator[str]:
    """Run Envoy in front of these replicas; gives its address."""
    port = free_port()
    file = folder / "envoy.json"
    file.write_text(json.dumps(bootstrap(urls, port, adaptive=adaptive)))
    with (folder / "envoy.log").open("w") as log:
        process = subprocess.Popen(
            [str(BINARY), "-c", str(file), "--log-level", "warning", "--use-dynamic-base-id"],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, url, folder / "envoy.log")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            replies = [httpx.get(f"{url}/v2/models/{s}/ready") for s in ("feature_extractor", "classifier")]
            if {reply.status_code for reply in replies} == {200}:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"Envoy is not ready: {log.read_text()[-2000:]}")
