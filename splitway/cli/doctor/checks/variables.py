"""The SPLITWAY_* variables: whether each is known, can be read, and agrees with the others."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_settings import BaseSettings

from splitway.cli.doctor.checks.result import Finding, ok, problem, warning
from splitway.environment import read_environment, secret_fields
from splitway.errors import SetupError
from splitway.security.callers.keys import read_keys

PREFIX = "SPLITWAY_"
_GATEWAY = "the gateway"
SETTINGS = {_GATEWAY: "splitway.gateway.settings:GatewaySettings", "a stage": "splitway.runtime.settings:StageSettings"}
"""Where each app's settings are; by name, as `splitway serve` finds the apps, which this package must not import."""
_MEANS = "splitway.gateway.wiring:means_of"
_TOKENS = "splitway.security.service_token:read_tokens"
"""What the apps ask at their start whether callers are to be let in, and by what they know each other."""
_ELSEWHERE = (
    "SPLITWAY_API_KEY",  # the commands that ask a gateway
    "SPLITWAY_API_KEY_FILE",
    "SPLITWAY_CACHE_DIR",  # splitway build
    "SPLITWAY_REQUIRE_DOCKER",  # make test-compose
    "SPLITWAY_PORT",  # compose.yaml and what lies over it, as the next
    "SPLITWAY_KEYS_FOLDER",
    "SPLITWAY_PUBLISH",
    "SPLITWAY_PROMETHEUS_PORT",
    "SPLITWAY_GRAFANA_PORT",
)
"""Read by others than apps and options."""
_NEAR = 0.75
_ORDERED = (
    ("default_timeout_ms", "max_timeout_ms", "a request that names no time limit is given the shorter one"),
    ("max_picture_bytes", "max_body_bytes", "larger pictures are refused because of their body"),
    ("attempt_timeout_ms", "max_timeout_ms", "no call ever gets that much time"),
)
"""Settings of which the first should not be above the second, and what happens if it is."""


def find_settings(app: str) -> type[BaseSettings] | None:
    """The class of an app's settings; None where what it needs is not installed."""
    try:
        kind: type[BaseSettings] = _named(SETTINGS[app])
    except ImportError:
        return None
    return kind


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def known_variables(kinds: Iterable[type[BaseSettings]], options: Iterable[str]) -> set[str]:
    """Every known variable: the apps' settings and the commands' options."""
    kinds = tuple(kinds)
    fields = {f"{PREFIX}{name.upper()}" for kind in kinds for name in kind.model_fields}
    files = {f"{PREFIX}{name.upper()}_FILE" for kind in kinds for name in secret_fields(kind)}
    return fields | files | set(options) | set(_ELSEWHERE)


def unknown(environment: Mapping[str, str], known: set[str]) -> list[Finding]:
    """A result for each unknown variable, with the nearest known name."""
    found = []
    for name in sorted(set(environment) - known):
        if not name.upper().startswith(PREFIX):
            continue
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=_NEAR)
        do = f"did you mean {near[0]}?" if near else "unset it; docs/operations.md lists those that are read"
        found.append(warning("settings", f"{name} is unknown and has no effect", do))
    set_ = sorted(name for name in environment if name in known)
    found.append(ok("settings", f"set and known: {', '.join(set_)}" if set_ else "no SPLITWAY_* variable is set"))
    return found


def readable(app: str, kind: type[BaseSettings] | None) -> list[Finding]:
    """Whether an app would start with the variables as they are here, and whether they agree with each other."""
    if kind is None:
        return [ok("settings", f"{app}'s dependencies are not installed, so its settings were not checked")]
    try:
        settings: Any = read_environment(kind)
        getattr(settings, "chain", None)  # the gateway reads its addresses when it asks for them
        _check_access(app, settings)
    except SetupError as error:
        return [problem("settings", f"{app} does not start: {error.detail}", "correct that variable, or unset it")]
    return list(_contradictions(settings))


def threads(environment: Mapping[str, str], available: int) -> Finding | None:
    """Whether the engines are told to use more cores than there are."""
    asked = environment.get("SPLITWAY_THREADS", "")
    if not asked.isdigit() or int(asked) <= available:
        return None
    says = f"SPLITWAY_THREADS={asked}, and this process may use {available} cores: the threads wait for each other"
    return warning("threads", says, f"unset it, or set it to {available} at most")


def _check_access(app: str, settings: Any) -> None:
    """Raise SetupError where an app does not start for what is set of who may call it."""
    _named(_TOKENS)(settings.service_token)
    if app == _GATEWAY:
        _named(_MEANS)(_without_broken_keys(settings), exposed=False)


def _without_broken_keys(settings: Any) -> Any:
    """Of a file that cannot be read a check of its own says so."""
    try:
        if settings.keys_file is not None:
            read_keys(settings.keys_file)
    except SetupError:
        return settings.model_copy(update={"keys_file": None})
    return settings


def _contradictions(settings: Any) -> Iterable[Finding]:
    for lower, upper, then in _ORDERED:
        low, high = getattr(settings, lower, None), getattr(settings, upper, None)
        if low is not None and high is not None and low > high:
            named = f"{PREFIX}{lower.upper()}={_plain(low)} is above {PREFIX}{upper.upper()}={_plain(high)}"
            yield warning("settings", f"{named}: {then}", "raise the second or lower the first")


def _plain(value: float) -> str:
    """As it is written into a variable."""
    return f"{int(value)}" if value == int(value) else f"{value}"
