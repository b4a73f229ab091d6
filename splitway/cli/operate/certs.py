"""What `splitway certs` does to a folder of certificates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from rich.table import Table

from splitway.cli.console import ERR, OUT, stop_signal
from splitway.errors import SetupError
from splitway.names import EXTRACTOR, GATEWAY, HEADS
from splitway.security.identities.certificates import Certificates, Certified, utc_now

_SERVICES = (GATEWAY, EXTRACTOR, HEADS)
_LOOK_S = 60.0
_BROKEN = "broken"
_STYLES = {"good": None, "renew it": "yellow", "expired": "red", _BROKEN: "red"}


def create(folder: Path, services: Sequence[str], days: float, *, new_authority: bool = False) -> Mapping[str, object]:
    """Certify these services, or the usual ones and those that are there; say where each is and how long it is good.

    Returns the same for programs.

    Raises:
        SetupError: a name or a length of time that is none, or files that cannot be used; they stay as they were.
    """
    certificates = Certificates(folder)
    chosen = services or sorted({*_SERVICES, *certificates.services()})
    certificates.create(chosen, _life(days), new_authority=new_authority)
    made = {*chosen, *(certificates.services() if new_authority else ())}
    listed = [each for each in certificates.listed() if each.service in made]
    for each in listed:
        OUT.print(f"{folder / each.service}: {each.service}, good until {_moment(each.ends)}", markup=False)
    return {"folder": folder, "services": [_content(each) for each in listed]}


def stay(folder: Path, services: Sequence[str], days: float) -> None:
    """Renew what is due, again and again, until told to stop."""
    stop, certificates = stop_signal(), Certificates(folder)
    ERR.print("staying, to renew them in time; Ctrl-C ends it", markup=False)
    while not stop.wait(min(_LOOK_S, _life(days).total_seconds() / 10)):
        if renewed := certificates.renew(services or certificates.services(), _life(days)):
            ERR.print(f"renewed: {', '.join(renewed)}", markup=False)


def show(folder: Path, *, as_json: bool) -> None:
    """Print the services' certificates, for people or for programs. Raises SetupError, at the end, for broken ones."""
    found = Certificates(folder).looked_through()
    if not found:
        raise SetupError(f"{folder} has no certificates; make them with: splitway certs create")
    (_print_json if as_json else _print_table)(folder, found)
    if broken := [each.detail for each in found.values() if isinstance(each, SetupError)]:
        raise SetupError("; ".join(broken))


def _print_table(folder: Path, found: Mapping[str, Certified | SetupError]) -> None:
    table = Table("service", "good until", "left", "state", box=None)
    table.header_style = "bold"
    late = []
    for service, each in found.items():
        if isinstance(each, SetupError):
            table.add_row(service, "", "", _BROKEN, style=_STYLES[_BROKEN])
            continue
        if (state := _state(each)) != "good":
            late.append(service)
        note = "; of the old authority" if each.is_of_old_authority else ""
        table.add_row(service, _moment(each.ends), _length(each.ends - utc_now()), state + note, style=_STYLES[state])
    OUT.print(table)
    if late:
        ERR.print(f"{', '.join(late)}: renew with splitway certs create --out {folder}", style="yellow", markup=False)


def _print_json(_folder: Path, found: Mapping[str, Certified | SetupError]) -> None:
    for service, each in found.items():
        if isinstance(each, SetupError):
            print(json.dumps({"service": service, "state": _BROKEN, "reason": each.detail}))
            continue
        print(json.dumps(_content(each)))


def _content(certified: Certified) -> Mapping[str, object]:
    return {
        "service": certified.service,
        "starts": certified.starts.isoformat(),
        "ends": certified.ends.isoformat(),
        "seconds_left": round((certified.ends - utc_now()).total_seconds()),
        "state": _state(certified),
        "of_old_authority": certified.is_of_old_authority,
    }


def _state(certified: Certified) -> str:
    now = utc_now()
    if certified.has_expired(now):
        return "expired"
    return "renew it" if certified.is_due(now) else "good"


def _life(days: float) -> timedelta:
    try:
        return timedelta(days=days)
    except (OverflowError, ValueError) as error:
        raise SetupError(f"--days takes a number such as 7 or 0.5, not {days}") from error


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _length(left: timedelta) -> str:
    hours = left.total_seconds() / 3600
    if hours <= 0:
        return "none"
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"
