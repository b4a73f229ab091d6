"""What several checks go by: each fact looked up once, by the first that asks for it."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from splitway.bundle_graph import Chain, find_chain
from splitway.cli.credentials import gateway_headers
from splitway.cli.doctor.checks import bundles, running
from splitway.cli.doctor.checks.result import Finding
from splitway.errors import BundleError, SetupError
from splitway.local.places import Place
from splitway.local.run_file import LocalGateway, RunFile, asked_gateway, read_run
from splitway.names import GATEWAY
from splitway.releases import FILE, Releases
from splitway.security.signing import TrustedKeys


class Facts:
    """Of one set-up.

    Args:
        url: the gateway given by the user; None if there is none.
        models: folder of the bundles.
    """

    def __init__(self, url: str | None, models: Path) -> None:
        self.url = url
        self.models = models

    @cached_property
    def run(self) -> RunFile | None:
        try:
            return read_run()
        except SetupError:  # its own check says so
            return None

    @cached_property
    def alive(self) -> list[Place]:
        return [place for place in (self.run.places if self.run else ()) if place.is_alive]

    @cached_property
    def believed(self) -> list[Place]:
        """What may be sent the secrets that stages ask for."""
        return [place for place in self.alive if self.run is not None and self.run.why_not(place) is None]

    @cached_property
    def gateway(self) -> LocalGateway:
        """As the user names it, or that of this folder."""
        return asked_gateway(self.url)

    @cached_property
    def heard(self) -> running.Running:
        expected = self.url is not None or any(place.stage == GATEWAY for place in self.alive)
        key = self.key if self.gateway.doubt is None else {}
        return running.listen(self.gateway.url, self.believed, is_expected=expected, key=key)

    @cached_property
    def key(self) -> dict[str, str]:
        """The headers that show a gateway who asks."""
        try:
            return gateway_headers()
        except SetupError:  # its own check says so
            return {}

    @property
    def is_up(self) -> bool:
        look = self.heard.look
        return look.status is not None or look.refused is not None

    @cached_property
    def nothing_to_look_at(self) -> Finding | None:
        return bundles.folder(self.models, may_be_elsewhere=self.is_up)

    @cached_property
    def hashed(self) -> bundles.Wholeness:
        return bundles.hash_all(self.models, self.trust[0])

    @cached_property
    def trust(self) -> tuple[TrustedKeys | None, Finding | None]:
        return bundles.read_trust(os.environ)

    @cached_property
    def releases(self) -> tuple[Releases | None, Finding | None]:
        return bundles.read_file(Path(os.environ.get("SPLITWAY_RELEASES") or self.models / FILE))

    @cached_property
    def chain(self) -> Chain | None:
        """The bundles that are served; where they do not follow each other, another check says so."""
        try:
            return None if self.nothing_to_look_at else find_chain(self.models)
        except BundleError:
            return None
