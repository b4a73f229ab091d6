"""Which folder of bundles a command is about, where none is named, and what comes next for bundles written there."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path

import typer

from splitway.cli.console import ERR
from splitway.errors import SetupError
from splitway.local.runs import all_runs, running_gateway
from splitway.releases import FILE, Releases, read_releases


def folder_meant(context: typer.Context, models: Path, name: str | None = None, option: str = "--name") -> Path:
    """Return `models` if it is named; else the folder that the running pipeline serves, where it says so itself.

    Args:
        name: of the pipeline, where several run.
        option: which chooses among several.

    Raises SetupError if several run and none is named.
    """
    source = context.get_parameter_source("models")
    return models if source is None or source.name != "DEFAULT" else served_folder(models, name, option)


def served_folder(models: Path, name: str | None, option: str) -> Path:
    """Return the folder that the running pipeline serves, and say so; `models` if none that can be trusted runs."""
    gateway = running_gateway(name=name, option=option)
    served = None if gateway is None else gateway.models
    if served is None or served == models.resolve():
        return models
    ERR.print(f"using {served}, which the running pipeline serves; --models names another", markup=False)
    return served


def is_served(models: Path) -> bool:
    """Whether a pipeline that was started from where one stands serves this folder."""
    launchers = [run.launcher for run in all_runs().values() if run.is_running]
    return models.resolve() in {launcher.models for launcher in launchers if launcher is not None}


def option_for(models: Path) -> str:
    """The option that names a folder in a command that is printed to be copied, after a space."""
    here = Path.cwd()
    near = models.relative_to(here) if models.is_relative_to(here) else models
    return f" --models {shlex.quote(str(near))}"


def warn_before_version(models: Path, version: str) -> None:
    """Say of a served folder without a current release that a new version takes all requests, and how it does not."""
    releases = _releases(models)
    if releases.current is None and is_served(models):
        made = _free("before", releases)
        do = (
            f"splitway release create {made}{option_for(models)} && splitway release promote {made}{option_for(models)}"
        )
        ERR.print(
            f"{models} is being served and none of its releases is current: version {version} will take all requests "
            f"once it is there; to try it on a share of them, run this before: {do}",
            style="yellow",
            markup=False,
        )


def print_next_of_version(models: Path, version: str) -> None:
    """Print the command that comes after a new version of a chain."""
    releases = _releases(models)
    current = releases.releases.get(releases.current or "")
    if current is not None and current.extractor != version:
        ERR.print(f"release {releases.current} is current, and requests go on to extractor {current.extractor}")
        made, where = _free(f"version-{version}", releases), option_for(models)
        create = f"splitway release create {made} --extractor {version}{where}"
        _print_next(f"{create} && splitway release canary {made} --percent 10{where}")
    elif is_served(models):
        ERR.print("the running pipeline loads it within two seconds")
        _print_next("splitway top")
    else:
        _print_next(f"splitway up{option_for(models)}")


def print_next_of_head(models: Path, name: str, version: str, extractor: str) -> None:
    """Print the command that comes after a new head on the features of this version of the extractor."""
    releases = _releases(models)
    current = releases.releases.get(releases.current or "")
    if current is None or current.heads.get(name) == version:
        _print_next(f"splitway classify PICTURE --heads {name}")
        return
    kept = {**current.heads, name: version} if current.extractor == extractor else {}
    heads = "".join(f" --head {each}={its}" for each, its in kept.items())
    made, where = _free(f"{name}-{version}", releases), option_for(models)
    says = f"release {releases.current} is current, which is without {name} {version}: a new release has to name it"
    ERR.print(says, markup=False)
    create = f"splitway release create {made} --extractor {extractor}{heads}{where}"
    _print_next(f"{create} && splitway release promote {made}{where}")


def _print_next(command: str) -> None:
    ERR.print(f"next: {command}", markup=False)


def _releases(models: Path) -> Releases:
    """What is released of a folder; nothing where that cannot be read, which others say."""
    with suppress(SetupError):
        return read_releases(models / FILE) or Releases()
    return Releases()


def _free(name: str, releases: Releases) -> str:
    """A name for a release that none has."""
    names = (name, *(f"{name}-{number}" for number in range(2, 2 + len(releases.releases))))
    return next(each for each in names if each not in releases.releases)
