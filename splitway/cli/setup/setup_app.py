"""The commands that set the command line up: their options and their help."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer


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
