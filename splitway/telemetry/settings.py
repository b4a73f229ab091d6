"""Settings of logs, metrics and traces of every process: environment variables with the prefix SPLITWAY_."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from splitway.errors import SetupError

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TelemetrySettings(BaseSettings):
    """Read once, when the process starts; the apps' settings go on from here."""

    model_config = SettingsConfigDict(
        env_prefix="SPLITWAY_",
        env_ignore_empty=True,
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # among the inputs are keys
    )

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged, of libraries never less than `info`; a line for each request is `info`, for one that
    failed by our fault `warning`."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """One JSON object a line, or text for people; `auto` is text on a terminal and JSON elsewhere."""
    request_log_per_second: Annotated[int, Field(ge=0)] = 10
    """Requests that are logged per second; of more, a share is, and the same ones in every process. As many failed ones
    come on top. 0: none."""
    slow_loop_ms: Annotated[float, Field(ge=0)] = 0.0
    """For finding what keeps requests waiting: each time the event loop stands still for longer than this is logged,
    with where it stood, in milliseconds; 0: nothing is looked at."""
    metrics_from: str = ""
    """Networks that may read /metrics besides this machine, separated by commas, such as 10.0.0.0/8."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """A separate port on the serving address for /metrics and nothing else, without authentication."""

    @field_validator("metrics_from")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        _networks(text)
        return text

    @property
    def metrics_networks(self) -> tuple[Network, ...]:
        """Networks that may read /metrics."""
        return _networks(self.metrics_from)


def _networks(text: str) -> tuple[Network, ...]:
    """Raises ValueError for what is no network."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def traces_asked_for(variables: Mapping[str, str]) -> bool:
    """Whether these variables ask for traces. Raises SetupError for a way of exporting that there is not."""
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = variables.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter not in ("", "otlp", "none"):
        raise SetupError(f"OTEL_TRACES_EXPORTER={exporter}: traces are exported by otlp, or by none")
    asked = exporter == "otlp" or any(variables.get(name, "").strip() for name in _ENDPOINTS)
    if exporter == "none" or not asked:
        return False
    protocol = next((variables[name].strip() for name in _PROTOCOLS if variables.get(name, "").strip()), _PROTOCOL)
    if protocol != _PROTOCOL:
        raise SetupError(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: traces are sent by {_PROTOCOL} alone")
    return True
