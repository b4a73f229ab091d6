"""The SPLITWAY_* variables, whether each is known, can be read, and agrees with the others; and those of traces."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic_settings import BaseSettings

from splitway.cli.doctor.finding import Finding, ok, problem, warning
from splitway.environment import read_environment, secret_fields
from splitway.errors import SetupError
from splitway.security.callers.keys import read_keys
from splitway.telemetry.settings import traces_asked_for

PREFIX = "SPLITWAY_"
_GATEWAY = "the gateway"
SETTINGS = {_GATEWAY: "splitway.gateway.settings:GatewaySettings", "a stage": "splitway.runtime.settings:StageSettings"}
"""Where each app's settings are; by name, as `splitway serve` finds the apps, which this package must not import."""
_MEANS = "splitway.gateway.wiring:means_of"
_TOKENS = "splitway.security.service_token:read_tokens"
"""What the apps ask at their start whether callers are to be let in, and by what they know each other."""
COMMANDS = (
    "SPLITWAY_API_KEY",  # the commands that ask a gateway
    "SPLITWAY_API_KEY_FILE",
    "SPLITWAY_CA",  # and trust it
    "SPLITWAY_CACHE_DIR",  # splitway build
    "SPLITWAY_CONFIG",  # splitway.toml
)
"""Read by commands, not as options."""
_ELSEWHERE = (
    "SPLITWAY_REQUIRE_DOCKER",  # make test-compose
    "SPLITWAY_PORT",  # compose.yaml and what lies over it, as the next
    "SPLITWAY_IMAGES",
    "SPLITWAY_KEYS_FOLDER",
    "SPLITWAY_PUBLISH",
    "SPLITWAY_PROMETHEUS_PORT",
    "SPLITWAY_GRAFANA_PORT",
)
"""Read by others than apps and commands."""
_NEAR = 0.75
_EXPORTER = "opentelemetry-exporter-otlp-proto-http"
_ORDERED = (
    ("default_timeout_ms", "max_timeout_ms", "a request that names no time limit is given the shorter one"),
    ("max_picture_bytes", "max_body_bytes", "larger pictures are refused because of their body"),
    ("attempt_timeout_ms", "max_timeout_ms", "no call ever gets that much time"),
)
"""Settings of which the first should not be above the second, and what happens if it is."""


def variables_of(command: Any) -> list[str]:
    """Every environment variable that a command, or one below it, takes an option from."""
    own = [option.envvar for option in command.params if option.envvar]
    return own + [name for below in getattr(command, "commands", {}).values() for name in variables_of(below)]


def settings(environment: Mapping[str, str], options: Iterable[str]) -> Iterator[Finding]:
    """Whether each variable is known, and each app would start; `options` are the variables that the commands read."""
    kinds = {app: find_settings(app) for app in SETTINGS}
    found = [kind for kind in kinds.values() if kind is not None]
    if len(found) == len(kinds):  # else a variable of a part that is not installed would seem unknown
        yield from unknown(environment, known_variables(found, options))
    yield from dict.fromkeys(result for app, kind in kinds.items() for result in readable(app, kind))


def find_settings(app: str) -> type[BaseSettings] | None:
    """The class of an app's settings; None where what it needs is not installed."""
    try:
        kind: type[BaseSettings] = pkgutil.resolve_name(SETTINGS[app])
        pkgutil.resolve_name(_MEANS if app == _GATEWAY else _TOKENS)  # of what a stage runs on an image has less
    except ImportError:
        return None
    return kind


def known_variables(kinds: Iterable[type[BaseSettings]], options: Iterable[str]) -> set[str]:
    """Every known variable: the apps' settings and the commands' options."""
    kinds = tuple(kinds)
    fields = {f"{PREFIX}{name.upper()}" for kind in kinds for name in kind.model_fields}
    files = {f"{PREFIX}{name.upper()}_FILE" for kind in kinds for name in secret_fields(kind)}
    return fields | files | set(options) | set(COMMANDS) | set(_ELSEWHERE)


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
        read: Any = read_environment(kind)
        getattr(read, "chain", None)  # the gateway reads its addresses when it asks for them
        _check_access(app, read)
    except SetupError as error:
        return [problem("settings", f"{app} does not start: {error.detail}", "correct that variable, or unset it")]
    return list(_contradictions(read))


def threads(environment: Mapping[str, str], available: int) -> Finding | None:
    """Whether the engines are told to use more cores than there are."""
    asked = environment.get("SPLITWAY_THREADS", "")
    if not asked.isdigit() or int(asked) <= available:
        return None
    says = f"SPLITWAY_THREADS={asked}, and this process may use {available} cores: the threads wait for each other"
    return warning("threads", says, f"unset it, or set it to {available} at most")


def traces(environment: Mapping[str, str], installed: Callable[[str], object] = version) -> Finding:
    """Whether traces that OTEL_* variables ask for can be exported; `installed` finds a package's version."""
    try:
        if not traces_asked_for(environment):
            return ok("traces", "no OTEL_* variable asks for them; trace ids are in the logs anyway")
        installed(_EXPORTER)
    except SetupError as error:
        return problem("traces", f"no process starts: {error.detail}", "correct that variable, or unset it")
    except PackageNotFoundError:
        says = "OTEL_* variables ask for traces, and OpenTelemetry is missing: none are exported"
        return warning("traces", says, "pip install 'splitway[otel]'")
    return ok("traces", "they are exported, as OTEL_* variables ask")


def _check_access(app: str, read: Any) -> None:
    """Raise SetupError where an app does not start for what is set of who may call it."""
    pkgutil.resolve_name(_TOKENS)(read.service_token)
    if app != _GATEWAY:
        return
    try:
        if read.keys_file is not None:
            read_keys(read.keys_file)
    except SetupError:  # a check of its own says so
        read = read.model_copy(update={"keys_file": None})
    pkgutil.resolve_name(_MEANS)(read, exposed=False)


def _contradictions(read: Any) -> Iterable[Finding]:
    for lower, upper, then in _ORDERED:
        low, high = getattr(read, lower, None), getattr(read, upper, None)
        if low is not None and high is not None and low > high:
            named = f"{PREFIX}{lower.upper()}={_plain(low)} is above {PREFIX}{upper.upper()}={_plain(high)}"
            yield warning("settings", f"{named}: {then}", "raise the second or lower the first")


def _plain(value: float) -> str:
    """As it is written into a variable."""
    return f"{int(value)}" if value == int(value) else f"{value}"
