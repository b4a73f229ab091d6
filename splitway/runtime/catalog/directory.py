"""What callers of a stage can address: its models by name and version, their routes, what they say of themselves."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from splitway.errors import NotFound, Unavailable
from splitway.http.fast_routes import Endpoint
from splitway.http.lifecycle import Lifecycle
from splitway.manifest import describe
from splitway.runtime.catalog.served import ServedBundle
from splitway.runtime.catalog.versions import ModelVersions, Version
from splitway.runtime.observe import StageTelemetry

_log = logging.getLogger(__name__)


@dataclass
class Directory:
    """The protocol's `Models`; says in the log which versions come, change and go."""

    lifecycle: Lifecycle
    telemetry: StageTelemetry
    models: dict[str, ModelVersions] = field(default_factory=dict)
    routes: dict[tuple[str, str], Endpoint] = field(default_factory=dict)
    """The inference routes of all that can be called now, by method and path."""
    _told: dict[tuple[str, str], ServedBundle] = field(default_factory=dict)
    _defaults: dict[str, str] = field(default_factory=dict)

    def model_not_ready_because(self, model: str, version: str | None) -> str | None:
        number, described = self._version(model, version)
        if described.model is None:
            return f"version {number} of {model!r} is being loaded"
        return self.lifecycle.not_ready_because

    def metadata(self, model: str, version: str | None) -> dict[str, Any]:
        number, described = self._version(model, version)
        card = described.card
        if card is None:
            raise Unavailable(f"version {number} of {model!r} is being loaded", stage=model, retry_after_s=1)
        return {
            "name": model,
            "versions": list(self.models[model].callable) or [number],
            "platform": "splitway",
            "inputs": [spec.metadata() for spec in card.inputs],
            "outputs": [spec.metadata() for spec in card.outputs],
            "parameters": describe(card.manifest),
        }

    def endpoint(self, model: str, version: str | None) -> Endpoint:
        number, described = self._version(model, version)
        if described.model is None:
            raise Unavailable(f"version {number} of {model!r} is being loaded", stage=model, retry_after_s=1)
        return described.model.endpoint

    def answering(self) -> list[ServedBundle]:
        """Every version that answers requests."""
        return [served for model in tuple(self.models.values()) for served in model.callable.values()]

    def publish(self) -> None:
        """Make the routes and the metrics those of what is loaded now, and log what is new, other or gone."""
        routes: dict[tuple[str, str], Endpoint] = {}
        for name, model in self.models.items():
            for number, served in model.callable.items():
                routes["POST", f"/v2/models/{name}/versions/{number}/infer"] = served.endpoint
                if number == model.default:
                    routes["POST", f"/v2/models/{name}/infer"] = served.endpoint
        self.routes.clear()
        self.routes.update(routes)
        cards = [served.card for served in self.answering()]
        self.telemetry.loaded((card.manifest, card.engine) for card in cards)
        self._tell_changes()

    def _tell_changes(self) -> None:
        """Log one line for each version that came, was replaced or went, and for each default that changed."""
        before = self._told
        self._told = {(name, n): served for name, model in self.models.items() for n, served in model.callable.items()}
        for (name, number), served in self._told.items():
            if (name, number) not in before:
                _log.info("%s version %s is served: %s", name, number, served.card.manifest.feature_space)
            elif before[name, number] is not served:
                _log.info("%s version %s is served as its bundle has been rewritten", name, number)
        for name, number in sorted(before.keys() - self._told.keys()):
            _log.info("%s version %s is served no longer", name, number)
        defaults = {name: model.default for name, model in self.models.items() if model.default is not None}
        for name, number in defaults.items():
            if self._defaults.get(name, number) != number:
                _log.info("%s version %s is the default, no longer %s", name, number, self._defaults[name])
        self._defaults = defaults

    def _version(self, name: str, number: str | None) -> tuple[str, Version]:
        """A version that can be called, or that is being loaded. Raises NotFound for any other."""
        here = {n: _listed(each) for n, each in self.models.items()}
        if not here.get(name):
            known = ", ".join(repr(each) for each, versions in sorted(here.items()) if versions)
            raise NotFound(f"there is no model {name[:80]!r} here, only {known or 'nothing now'}")
        versions = here[name]
        wanted = number if number is not None else self.models[name].default or next(reversed(versions))
        if wanted not in versions:
            known = ", ".join(map(repr, versions))
            raise NotFound(f"model {name!r} has no version {wanted[:20]!r} here, only {known}")
        return wanted, versions[wanted]


def _listed(model: ModelVersions) -> dict[str, Version]:
    listed = [n for n, version in model.versions.items() if version.state != "failed"]
    return {n: model.versions[n] for n in sorted(listed, key=int)}
