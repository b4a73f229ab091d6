"""`splitway config`: what is in force, and from where."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from splitway.cli.console import ERR, OUT
from splitway.cli.setup.known import Catalogue, Known
from splitway.cli.setup.settings_file import CONFIG, Setting
from splitway.environment import masked
from splitway.local.runs import all_runs

_HIDDEN = "***"


@dataclass(frozen=True)
class InForce:
    """One setting, as every command and every service has it that is started here."""

    known: Known
    value: str | None
    """None where it is not set and has no default. A secret is not shown."""
    source: str
    """environment, file or default."""
    setting: Setting | None = None
    """The line of the file."""
    wrong: str | None = None
    """Why it cannot have this value, with which nothing starts that reads it."""

    @property
    def place(self) -> str:
        return self.setting.place if self.setting else self.source

    def to_json(self) -> Mapping[str, object]:
        """Describe it for programs."""
        place = self.setting and {"file": self.setting.path, "line": self.setting.line}
        return {
            "name": self.known.name,
            "key": self.known.key,
            "value": self.value,
            "source": self.source,
            **(place or {}),
            "default": self.known.default or None,
            "about": self.known.about,
            **({"wrong": self.wrong} if self.wrong else {}),
        }


def in_force(catalogue: Catalogue, from_files: Mapping[str, Setting]) -> list[InForce]:
    """Return every setting; `from_files` are those that the environment has from files."""
    others = {name: Known(name, "") for name in from_files if name not in catalogue.settings}
    every = dict(sorted({**catalogue.settings, **others}.items()))
    wrong = catalogue.wrong_here()
    return [_in_force(known, from_files.get(known.name), wrong.get(known.name)) for known in every.values()]


def _in_force(known: Known, setting: Setting | None, wrong: str | None) -> InForce:
    given = os.environ.get(known.name)
    if known.name == CONFIG and not given:
        given = None
    if given is None:
        return InForce(known, known.default or None, "default")
    shown = _HIDDEN if known.is_secret and given else masked(given) if "://" in given else given
    return InForce(known, shown, "file" if setting else "environment", setting, wrong)


def print_table(settings: Sequence[InForce], *, every: bool) -> None:
    """Print a line for each setting that is set, or for every one; the others are counted on stderr."""
    shown = [each for each in settings if every or each.source != "default"]
    table = Table("setting", "value", "from", box=None, header_style="bold")
    for each in shown:
        style = "red" if each.wrong else "dim" if each.source == "default" else None
        table.add_row(each.known.key, each.value or "-", each.place, style=style)
    if shown:
        OUT.print(table, markup=False)
    if left := len(settings) - len(shown):
        ERR.print(f"{left} settings have their defaults: splitway config --all lists them", markup=False)


def print_one(setting: InForce) -> None:
    """Print the value alone to stdout, and to stderr what it is and where it comes from."""
    OUT.print(setting.value or "", markup=False)
    ERR.print(f"{setting.known.name}, from {setting.place}. {setting.known.about}", markup=False, style="dim")


def say_files(read: Sequence[Path], catalogue: Catalogue) -> None:
    """Say on stderr which files were read, and whose settings are not known here."""
    named = ", ".join(map(str, read)) or "none: settings may stand in splitway.toml"
    ERR.print(f"files read: {named}", style="dim", markup=False)
    if catalogue.missing:
        why = "their libraries are not installed"
        ERR.print(f"the settings of {catalogue.whose} are listed only if a file sets them: {why}", markup=False)


def say_what_is_wrong(settings: Sequence[InForce]) -> bool:
    """Say on stderr which settings cannot have their values; return whether there are any."""
    wrong = [each for each in settings if each.wrong]
    for each in wrong:
        says = f"{each.known.name}={each.value}, from {each.place}: {each.wrong}; what reads it does not start"
        ERR.print(f"splitway: {says}", style="red", markup=False)
    return bool(wrong)


def say_what_else_runs(models: InForce) -> None:
    """Say on stderr which pipelines of this folder serve another folder than the one that is set."""
    for name, run in all_runs().items():
        served = run.launcher.models if run.launcher is not None and run.is_running else None
        if served is not None and served != Path(models.value or "").resolve():
            ERR.print(f"{name or 'the pipeline'} that runs here serves {served}", markup=False)
