"""What `splitway certs` does to a folder of certificates."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from rich.table import Table

from splitway.cli.console import ERR, OUT
from splitway.errors import SetupError
from splitway.names import EXTRACTOR, GATEWAY, HEADS
from splitway.security.identities.certificates import Certificates, Certified, utc_now

_SERVICES = (GATEWAY, EXTRACTOR, HEADS)
_LOOK_S = 60.0
_BROKEN = "broken"
_STYLES = {"good": None, "renew it": "yellow", "expired": "red", _BROKEN: "red"}


def create(folder: Path, services: Sequence[str], days: float, *, new_authority: bool = False) -> list[Certified]:
    """Certify these services, or the usual ones and those that are there; return what was made.

    Raises:
        SetupError: a name or a length of time that is none, or files that cannot be used; they stay as they were.
    """
    certificates = Certificates(folder)
    chosen = services or sorted({*_SERVICES, *certificates.services()})
    certificates.create(chosen, _life(days), new_authority=new_authority)
    made = {*chosen, *(certificates.services() if new_authority else ())}
    return [each for each in certificates.listed() if each.service in made]


def forget_old_authority(folder: Path) -> None:
    """Trust the authority before the present one no more. Raises SetupError if a service still shows one of its."""
    Certificates(folder).forget_previous()


def stay(folder: Path, services: Sequence[str], days: float) -> None:
    """Renew what is due, again and again, until told to stop."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    certificates = Certificates(folder)
    ERR.print("staying, to renew them in time; Ctrl-C ends it", markup=False)
    while not stop.wait(min(_LOOK_S, _life(days).total_seconds() / 10)):
        if renewed := certificates.renew(services or certificates.services(), _life(days)):
            ERR.print(f"renewed: {', '.join(renewed)}", markup=False)


def print_made(folder: Path, made: Sequence[Certified]) -> None:
    """Say what was made, where it is and how long it is good for."""
    for each in made:
        OUT.print(f"{folder / each.service}: {each.service}, good until {_moment(each.ends)}", markup=False)


def print_table(folder: Path) -> None:
    """Print the services' certificates, for people. Raises SetupError, at the end, if there are broken ones."""
    found = _looked_through(folder)
    table = Table("service", "good until", "left", "state", box=None)
    table.header_style = "bold"
    for service, each in found.items():
        if isinstance(each, SetupError):
            table.add_row(service, "", "", _BROKEN, style=_STYLES[_BROKEN])
            continue
        left = _length(each.ends - utc_now())
        note = "; of the old authority" if each.is_of_old_authority else ""
        table.add_row(service, _moment(each.ends), left, _state(each) + note, style=_STYLES[_state(each)])
    OUT.print(table)
    late = [name for name, each in found.items() if isinstance(each, Certified) and _state(each) != "good"]
    if late:
        ERR.print(f"{', '.join(late)}: renew with splitway certs create --out {folder}", style="yellow", markup=False)
    _raise_if_broken(found)


def print_json(folder: Path) -> None:
    """Print the services' certificates, for programs. Raises SetupError, at the end, if there are broken ones."""
    found = _looked_through(folder)
    for service, each in found.items():
        if isinstance(each, SetupError):
            print(json.dumps({"service": service, "state": _BROKEN, "reason": each.detail}))
            continue
        content = {
            "service": service,
            "starts": each.starts.isoformat(),
            "ends": each.ends.isoformat(),
            "seconds_left": round((each.ends - utc_now()).total_seconds()),
            "state": _state(each),
            "of_old_authority": each.is_of_old_authority,
        }
        print(json.dumps(content))
    _raise_if_broken(found)


def _looked_through(folder: Path) -> Mapping[str, Certified | SetupError]:
    found = Certificates(folder).looked_through()
    if not found:
        raise SetupError(f"{folder} has no certificates; make them with: splitway certs create")
    return found


def _raise_if_broken(found: Mapping[str, Certified | SetupError]) -> None:
    if broken := [each.detail for each in found.values() if isinstance(each, SetupError)]:
        raise SetupError("; ".join(broken))


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
