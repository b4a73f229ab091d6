"""The commands that set the command line up: their options and their help."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from splitway.api.given import Given
from splitway.cli.commands import FROM_FILES
from splitway.cli.console import Json, emit


def config(
    context: typer.Context,
    key: Annotated[
        str | None, typer.Argument(help="One setting, such as threads or SPLITWAY_THREADS: print its value alone.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List the settings that have their defaults too.")] = False,
    as_json: Json = False,
) -> None:
    """Print the settings that are set, and whether each comes from the environment or a file; with --all every setting.

    Options come before SPLITWAY_* variables, these before splitway.toml in the current folder, and that before
    ~/.config/splitway/splitway.toml. In a file a setting has the name of its variable without SPLITWAY_, in small
    letters: threads = 2. A file is read only if it is yours or root's and no other user can write it. It cannot hold
    secrets or url, and in the current folder not auth, published_on or ca.

    Examples: splitway config; splitway config --all; splitway config models; splitway config --json | jq
    '.settings[] | select(.source != "default")'
    """
    from splitway.cli.setup import config as command
    from splitway.cli.setup.known import Catalogue

    from_files = context.meta.get(FROM_FILES, {})
    if key is not None or as_json:
        Given.of(context).refuse(
            "every", because="one setting is asked for" if key else "--json has every setting anyway"
        )
    catalogue = Catalogue(context.find_root().command)
    settings = shown = command.in_force(catalogue, from_files)
    if key is not None:
        shown = [found] = [each for each in settings if each.known.name == catalogue.find(key).name]
        emit(as_json, found.to_json())
        command.print_one(found)
    else:
        read = list(dict.fromkeys(setting.path for setting in from_files.values()))
        emit(as_json, {"settings": [each.to_json() for each in settings], "files": read})
        if not as_json:
            command.print_table(settings, every=every)
        command.say_files(read, catalogue)
    for models in (each for each in shown if each.known.key == "models"):
        command.say_what_else_runs(models)
    if command.say_what_is_wrong(shown):
        raise typer.Exit(1)


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="bash|zsh|fish", help="Your shell.")],
) -> None:
    """Print the script that makes Tab complete commands, options, files and names.

    In bash, put eval "$(splitway completion bash)" into ~/.bashrc; in zsh the same with zsh into ~/.zshrc, below
    compinit.

    Examples: eval "$(splitway completion bash)"; splitway completion fish > ~/.config/fish/completions/splitway.fish
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    typer.echo(get_completion_script(prog_name="splitway", complete_var="_SPLITWAY_COMPLETE", shell=shell))


def help_(
    context: typer.Context,
    command: Annotated[list[str] | None, typer.Argument(help="A command, and one of its own commands.")] = None,
) -> None:
    """Show what a command does, with its options and examples.

    Examples: splitway help; splitway help release canary
    """
    shown: Any = context.find_root()
    for word in command or ():
        if not hasattr(shown.command, "resolve_command"):
            shown.fail(f"{shown.command_path} has no commands of its own, so no {word!r}.")
        name, found, _ = shown.command.resolve_command(shown, [word])
        shown = found.make_context(name, [], parent=shown, resilient_parsing=True)
        shown.resilient_parsing = False  # what is asked for is help, not the command, whose arguments may be missing
    typer.echo(shown.command.get_help(shown))
