"""`splitway`: its groups of commands, in the order of use. Each command lies in the `*_app.py` of its room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from splitway.cli.ask import ask_app
from splitway.cli.bench import bench_app
from splitway.cli.commands import Member, Root, compose, name_of
from splitway.cli.doctor import doctor_app
from splitway.cli.heads import heads_app
from splitway.cli.models import models_app, split_app
from splitway.cli.operate import certs_app, keys_app, release_app, run_app
from splitway.cli.setup import setup_app
from splitway.cli.watch import watch_app
from splitway.version import __version__

GROUPS: Mapping[str, tuple[Member, ...]] = {
    "Models": (
        models_app.build,
        models_app.inspect,
        split_app.split,
        models_app.verify,
        models_app.sign,
        heads_app.train_head,
    ),
    "Run": (run_app.up, run_app.down, run_app.ps, run_app.logs, run_app.serve, run_app.demo),
    "Ask": (ask_app.classify, watch_app.top, bench_app.bench, doctor_app.doctor),
    "Operate": (release_app.app, keys_app.app, certs_app.app),
    "Set-up": (setup_app.config, setup_app.completion, setup_app.help_),
}
"""Every command under the heading that it has in `splitway --help`."""


app = typer.Typer(
    name="splitway",
    cls=Root,
    help="Cut a trained Keras model into services, prove the cut, serve the pieces as one.",
    epilog="Examples: splitway build; splitway up; splitway classify samples/*.jpg; splitway help split",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", "-V", help="Print the version and exit.")] = False) -> None:
    """Handle options without a command."""
    if version:
        typer.echo(f"splitway {__version__}")
        raise typer.Exit


Root.order = tuple(name_of(member) for members in GROUPS.values() for member in members)
compose(app, GROUPS)


if __name__ == "__main__":
    app()
