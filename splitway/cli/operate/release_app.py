"""`splitway release`: its commands, their options and their help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from splitway.api.given import Given
from splitway.cli.console import ERR, OUT, Json, Models, RunName, Url, emit
from splitway.cli.models.options import repeated
from splitway.cli.setup import complete

if TYPE_CHECKING:
    from splitway.cli.operate.release import ReleaseBook
    from splitway.releases import Releases

app = typer.Typer(
    name="release",
    help="Releases: name versions that belong together, try them on a share of the requests, promote them, roll back.",
    epilog="Start with: splitway release create autumn && splitway release promote autumn",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The release's name: letters, digits, dots and dashes.", metavar="NAME")]
Existing = Annotated[str, typer.Argument(help="Name of the release.", autocompletion=complete.releases)]
File = Annotated[
    Path | None,
    typer.Option(help="File of the releases; releases.json in the folder of the bundles.", envvar="SPLITWAY_RELEASES"),
]
Reason = Annotated[str, typer.Option(help="Reason, for the history.")]
_MODELS = Path("models")


def _book(context: typer.Context, models: Path, file: Path | None) -> ReleaseBook:
    """The releases, for commands that read no bundle. Raises SetupError if both the file and the folder are named."""
    from splitway.cli.operate.release import ReleaseBook

    if file is not None:
        Given.of(context).refuse("models", because=f"the releases are read from {file}, without bundles")
        return ReleaseBook(models, file, named=_named(context))
    return ReleaseBook(_folder(context, models), named=_named(context))


def _named(context: typer.Context) -> str:
    """The option of a command that says which releases are meant, to be repeated."""
    return repeated(context, "file" if "file" in Given.of(context) else "models")  # both together only create takes


def _folder(context: typer.Context, models: Path) -> Path:
    from splitway.cli.folders import folder_meant

    return folder_meant(context, models, option="--models")


@app.command()
def create(
    context: typer.Context,
    name: Name,
    extractor: Annotated[str | None, typer.Option(help="Version of the extractor. Default: the newest.")] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VERSION of a head; may be repeated. Default: every head that fits."),
    ] = None,
    models: Models = _MODELS,
    file: File = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Name versions that belong together. The release is not served until it is used.

    Every bundle is checked: it must be undamaged, and take the features of the previous one.

    Examples: splitway release create autumn; splitway release create winter --extractor 2 --head classifier=2
    """
    from splitway.cli.operate.release import ReleaseBook, parse_heads

    book = ReleaseBook(_folder(context, models), file, named=_named(context))
    releases = book.create(name, extractor, parse_heads(head or []), reason)
    made = releases.releases[name]
    heads = ", ".join(f"{each} {version}" for each, version in made.heads.items())
    OUT.print(f"release {name}: extractor {made.extractor}; {heads}; {made.feature_space}", markup=False)
    _warn_of_lost_heads(book, releases, name, every=not head)
    _emit_standing(as_json, releases)
    if releases.current is None:
        do = f"splitway release promote {name}{book.named}"
        ERR.print(f"no release is current yet; make this one: {do}", markup=False)


@app.command("list")
def list_(
    context: typer.Context,
    models: Models = _MODELS,
    file: File = None,
    url: Url = None,
    name: RunName = None,
    as_json: Json = False,
) -> None:
    """Print the releases, newest first, with their roles: current, previous, canary, shadow.

    Where the gateway answers, it says how each release does: its share of the requests, how many there were lately,
    how many failed, and in how many comparisons its first class was the current release's. --json has this as
    "gateway", beside what the file holds.

    Examples: splitway release list; splitway release list --json | jq '.gateway.releases[].agreement'
    """
    from splitway.cli.credentials import chosen_gateway
    from splitway.cli.operate.release import print_table
    from splitway.cli.operate.release_figures import figures_of, print_figures

    book = _book(context, models, file)
    releases = book.read()
    asked = chosen_gateway(Given.of(context), url, name)
    figures = figures_of(releases, asked, is_named=url is not None or name is not None)
    emit(as_json, {**releases.model_dump(), "gateway": None if figures is None else figures.for_programs()})
    if as_json:
        return
    if releases.releases:
        print_table(releases)
        if figures is not None:
            print_figures(figures)
    else:
        ERR.print(f"there is no release yet; make one with: splitway release create NAME{book.named}", markup=False)


def _trial(kind: Literal["canary", "shadow"], does: str, usual: Any) -> Callable[..., None]:
    """The command that gives a release a share of the requests."""

    def try_out(
        context: typer.Context,
        name: Existing,
        percent: Annotated[float, typer.Option(help="Share of the requests, in per cent.", min=0.01, max=100)] = usual,
        models: Models = _MODELS,
        file: File = None,
        reason: Reason = "",
        as_json: Json = False,
    ) -> None:
        book = _book(context, models, file)
        _warn_of_lost_heads(book, releases := book.try_out(kind, name, percent, reason), name)
        OUT.print(f"{name} {does} {percent:g} % of the requests", markup=False)
        _emit_standing(as_json, releases)

    return try_out


app.command(
    "canary",
    help="Let a release answer a share of the requests. Ends with promote, or with rollback.\n\n"
    "Example: splitway release canary winter --percent 10",
)(_trial("canary", "answers", ...))
app.command(
    "shadow",
    help="Run a release beside the current one: its answers are compared and thrown away. Ends with rollback.\n\n"
    "Example: splitway release shadow winter --percent 50",
)(_trial("shadow", "runs as a shadow of", 100.0))


@app.command()
def promote(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="Name of the release. Default: the canary.", autocompletion=complete.releases),
    ] = None,
    models: Models = _MODELS,
    file: File = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Make a release the current one; the one before it becomes the previous.

    Examples: splitway release promote; splitway release promote winter --reason "better on dogs"
    """
    book = _book(context, models, file)
    before = book.read()
    _warn_of_lost_heads(book, before, name or (before.canary.release if before.canary else None))
    releases = book.promote(name, reason)
    OUT.print(f"{releases.current} is current; before it: {releases.previous or 'none'}", markup=False)
    _emit_standing(as_json, releases)


@app.command()
def rollback(
    context: typer.Context,
    models: Models = _MODELS,
    file: File = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """End canary and shadow; if there is neither, go back to the previous release.

    Example: splitway release rollback --reason "wrong labels"
    """
    releases = _book(context, models, file).roll_back(reason)
    OUT.print(f"{releases.history[-1].release} is withdrawn; current is {releases.current}", markup=False)
    _emit_standing(as_json, releases)


def _warn_of_lost_heads(book: ReleaseBook, releases: Releases, name: str | None, *, every: bool = False) -> None:
    """Say of the heads that the current release has and this one lacks, and of `every` one that does not fit it."""
    from splitway.cli.operate.release import left_out, lost_heads

    if name is None or name not in releases.releases:
        return
    if lost := lost_heads(releases, name):
        has = f"{name} has no head {', '.join(lost)}, which the current release {releases.current} has"
        ERR.print(f"{has}: requests for it get 404 from {name}", style="yellow", markup=False)
    for head, why in left_out(book, releases.releases[name]).items():
        if every or head in lost:
            ERR.print(f"{name} is without head {head}: {why}", style="yellow", markup=False)


def _emit_standing(as_json: bool, releases: Releases) -> None:
    from splitway.cli.operate.release import standing

    emit(as_json, standing(releases))
