"""`splitway`: its groups of commands, in the order of use. Each command lies in the `*_app.py` of its room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from splitway.cli.ask import ask_app
from splitway.cli.bench import bench_app
from splitway.cli.console import OUT, one_line_errors
from splitway.cli.doctor import doctor_app
from splitway.cli.heads import heads_app
from splitway.cli.models import models_app, split_app
from splitway.cli.operate import certs_app, keys_app, release_app, run_app
from splitway.cli.watch import watch_app
from splitway.process.extras import extras_named
from splitway.version import __version__

GROUPS: Mapping[str, tuple[Callable[..., None] | typer.Typer, ...]] = {
    "Models": (
        models_app.build,
        models_app.inspect,
        split_app.split,
        models_app.verify,
        models_app.sign,
        heads_app.train_head,
    ),
    "Run": (run_app.up, run_app.serve, run_app.demo),
    "Ask": (ask_app.classify, watch_app.top, bench_app.bench, doctor_app.doctor),
    "Operate": (release_app.app, keys_app.app, certs_app.app),
}
"""Every command under the heading that it has in `splitway --help`."""


class _Commands(TyperGroup):
    """Lists commands as `GROUPS` does, and ends each with one line, not a traceback, for a failure that has a name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of use."""
        order = [_name(each) for commands in GROUPS.values() for each in commands]
        return sorted(super().list_commands(ctx), key=order.index)

    def invoke(self, ctx: Any) -> Any:
        with one_line_errors(), extras_named(lambda library, do: f"{_called(ctx)} needs {do}: there is no {library}"):
            return super().invoke(ctx)


def _called(context: Any) -> str:
    return f"splitway {context.invoked_subcommand}"


def _name(command: Callable[..., None] | typer.Typer) -> str:
    if isinstance(command, typer.Typer):
        return str(command.info.name)
    return command.__name__.replace("_", "-")


app = typer.Typer(
    name="splitway",
    cls=_Commands,
    help="Cut a trained Keras model into services, prove the cut, serve the pieces as one.",
    epilog="Start with: splitway build && splitway up, then splitway classify samples/*.jpg in another terminal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Handle options without a command."""
    if version:
        OUT.print(f"splitway {__version__}")
        raise typer.Exit


for _group, _commands in GROUPS.items():
    for _command in _commands:
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, rich_help_panel=_group)
        else:
            app.command(rich_help_panel=_group)(_command)


if __name__ == "__main__":
    app()
