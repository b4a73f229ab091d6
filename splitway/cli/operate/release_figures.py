"""How the releases do, as the gateway that runs them says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Column, Table

from splitway.cli.console import ERR, OUT
from splitway.cli.credentials import gateway_client
from splitway.cli.status import TIMEOUT_S, ask
from splitway.local.runs import LocalGateway
from splitway.releases import Release, Releases
from splitway.schemas.pipeline import ReleaseStatus

_NOTHING = "-"
_SHOWN = {"part", "share", "served", "requests", "error_share", "compared", "agreement", "drift"}


@dataclass(frozen=True)
class Figures:
    """What a gateway says of the releases that it and the file have in common."""

    url: str
    releases: Mapping[str, ReleaseStatus]

    def for_programs(self) -> dict[str, Any]:
        """The same as JSON."""
        shown = {name: status.model_dump(include=_SHOWN) for name, status in self.releases.items()}
        return {"url": self.url, "releases": shown}


def figures_of(releases: Releases, asked: LocalGateway, *, is_named: bool) -> Figures | None:
    """Ask a gateway; None where it does not answer, which is said if the user named it, or runs none of these releases.

    Raises:
        SetupError: the key cannot be sent.
    """
    with gateway_client(asked, TIMEOUT_S) as client:
        look = ask(client, asked.url)
    if look.status is None:
        if is_named or look.refused is not None:
            ERR.print(f"without figures: {look.trouble}", markup=False)
        return None
    found = {
        name: status
        for name, status in look.status.releases.releases.items()
        if name in releases.releases and _is_the_same(releases.releases[name], status)
    }
    return Figures(asked.url, found) if found else None


def _is_the_same(release: Release, status: ReleaseStatus) -> bool:
    """Whether a gateway means the same by a name: it may have another file."""
    ours = release.extractor, dict(release.heads), release.feature_space
    return ours == (status.extractor, status.heads, status.feature_space)


def print_figures(figures: Figures) -> None:
    """Print one row per release, those first that answer."""
    numbers = (Column(name, justify="right") for name in ("share", "requests", "errors", "compared", "agreement"))
    table = Table("release", "part", *numbers, box=None, header_style="bold")
    for name, status in sorted(
        figures.releases.items(), key=lambda pair: (pair[1].part is None, -(pair[1].share or 0))
    ):
        share = _NOTHING if status.share is None else f"{status.share:g} %"
        errors, agreement = (_percent(each) for each in (status.error_share, status.agreement))
        table.add_row(
            name,
            status.part or ("served" if status.served else "not served"),
            share,
            str(status.requests),
            errors if status.requests else _NOTHING,
            str(status.compared),
            agreement,
        )
    OUT.print(f"\nAt {figures.url}, lately:", markup=False)
    OUT.print(table)


def _percent(share: float | None) -> str:
    return _NOTHING if share is None else f"{share * 100:.1f} %"
