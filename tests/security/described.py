"""Requests made from a service's own description, good and bad, by Schemathesis: does it do what it says?"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import schemathesis
from schemathesis import Case, HookContext
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.engine import Status, events, from_schema
from schemathesis.schemas import BaseSchema

from splitway.http.openapi import BEARER

SECONDS = int(os.environ.get("SPLITWAY_FUZZ_SECONDS", "0"))
"""How long `make fuzz` lets each run go on, with other requests each time. Else a run always makes the same ones."""
_SEED, _EXAMPLES = 7, 10
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "ignored_auth",
)
"""All but these: `positive_data_acceptance`, for a schema cannot say which tensors the model takes, which bytes are a
picture and which releases there are; `use_after_free` and `ensure_resource_availability`, for no route makes a thing
under a name that the answer gives; `max_response_time`, for no test is timed."""
_PHASES = ("examples", "coverage", "fuzzing")
"""Not `stateful`: no answer names what another route takes."""


@dataclass
class Exploration:
    """What was asked, and what was wrong with the answers."""

    failures: dict[str, str] = field(default_factory=dict)
    """One request and what is wrong, by route and kind of failure."""
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How often each route answered with each status."""

    @property
    def requests(self) -> int:
        return self.statuses.total()

    def seen(self, status: int) -> set[str]:
        """The routes that answered with this status."""
        return {label for label, seen in self.statuses if seen == status}


def explore(
    url: str,
    *,
    model: str,
    key: str | None = None,
    only: str | None = None,
    without: str | None = None,
) -> Exploration:
    """Ask every route of the service at `url` for as much as its description allows, and for what it forbids.

    Args:
        url: where the service is.
        model: a model that is served; its version is 1.
        key: the bearer token of whoever asks.
        only: a regular expression for the paths; all if not given.
        without: one for paths that are left out.
    """
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    schema: BaseSchema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers, config=_config(url, key))
    if only is not None:
        schema = schema.include(path_regex=only)
    if without is not None:
        schema = schema.exclude(path_regex=without)
    schema.hook("map_case")(partial(_with_sense, model))
    found = Exploration()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            found.failures[f"{getattr(event, 'label', 'the run')}: {event}"] = str(event)
        elif isinstance(event, events.ScenarioFinished):
            _take_in(found, event)
    return found


def _with_sense(model: str, _: HookContext, case: Case[Any]) -> Case[Any]:
    """Let requests that are meant to be good reach the model: what they name is there, and there is time.

    A limit of a thousandth of a second is a good request, whose answer is rightly 504; so is one for a release that
    there is not, but it tells nothing of what else is wrong with it.
    """
    meta = case.meta
    if "model" in case.path_parameters and not (meta and meta.is_negative_at(ParameterLocation.PATH)):
        case.path_parameters |= {"model": model} | ({"version": "1"} if "version" in case.path_parameters else {})
    case.headers.pop("x-splitway-release", None)
    if case.query.get("heads"):
        case.query["heads"] = "*"
    with suppress(KeyError, ValueError):
        if float(case.headers["x-request-timeout-ms"]) > 0:
            del case.headers["x-request-timeout-ms"]
    return case


def _config(url: str, key: str | None) -> SchemathesisConfig:
    checks: dict[str, Any] = {"enabled": False, **{name: {"enabled": True} for name in _CHECKS}}
    checks["negative_data_rejection"]["expected-statuses"] = ["400", "401", "403", "404", "405", "409", "413", "415"]
    generation = {"database": "none", "no-shrink": True, "max-examples": 100_000 if SECONDS else _EXAMPLES}
    return SchemathesisConfig.from_dict(
        ({"max-time": SECONDS} if SECONDS else {"seed": _SEED})
        | {
            "suppress-health-check": ["all"],
            "base-url": url,
            "auth": {} if key is None else {"openapi": {BEARER: {"bearer": key}}},
            "checks": checks,
            "continue-on-failure": True,
            "request-timeout": 30,
            "generation": generation | {"deterministic": not SECONDS},
            "phases": {name: {"enabled": name in _PHASES} for name in ("examples", "coverage", "fuzzing", "stateful")},
        }
    )


def _take_in(found: Exploration, event: events.ScenarioFinished) -> None:
    recorder = event.recorder
    for interaction in recorder.interactions.values():
        if interaction.response is not None:
            found.statuses[recorder.label, interaction.response.status_code] += 1
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.status is not Status.FAILURE or check.failure_info is None:
                continue
            failure = check.failure_info.failure
            key = f"{event.phase.value} {recorder.label}: {check.name}: {failure.title}"
            found.failures.setdefault(key, f"{failure.message}\n{_shown(recorder.interactions.get(case_id))}")


def _shown(interaction: Any) -> str:
    if interaction is None:
        return ""
    request, response = interaction.request, interaction.response
    body = (request.body or b"")[:300]
    answered = "" if response is None else f"{response.status_code} {response.content[:300]!r}"
    return f"{request.method} {request.uri}\n{request.headers}\n{body!r}\n-> {answered}"
