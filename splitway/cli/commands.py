"""What every command has in common: how its help reads, what it says of a mistyped word, and how it ends."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from typing import Any

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]
from typer.core import TyperCommand, TyperGroup

from splitway.cli.console import OUT, one_line_errors
from splitway.cli.setup.settings_file import use_files
from splitway.process.extras import extras_named

Member = Callable[..., None] | typer.Typer
FROM_FILES = "splitway.from_files"
"""Where a command's context has the settings that come from files."""
_HELP = {"-h", "--help"}
_NEED_NO_SETTINGS = ("help", "completion")
_HEADING = re.compile(r"^(?:Usage(?=:)|[A-Z][\w-]*(?=:$))", re.MULTILINE)
_EXAMPLES = re.compile(r"(?:Examples?|More): ")
_VALUES = {"Path": "PATH", "path": "PATH", "str": "TEXT", "int": "N", "float": "NUMBER"}
_KIND = re.compile(r"<(?:list\[)?(.*?)\]?(?: range)?>(?:\.\.\.)?")
_BOUNDS = (
    (re.compile(r"([\d.]+)<=x<=([\d.]+)"), r"\1 to \2"),
    (re.compile(r"x>=([\d.]+)"), r"\1 or more"),
    (re.compile(r"env var: "), "env: "),
)


def name_of(member: Member) -> str:
    """The word that calls a command or a group of them."""
    if isinstance(member, typer.Typer):
        return str(member.info.name)
    return member.__name__.strip("_").replace("_", "-")


def compose(app: typer.Typer, groups: Mapping[str, Sequence[Member]]) -> None:
    """Give a command line its commands, each under its heading and all with the same kind of help."""
    for heading, members in groups.items():
        for member in members:
            if isinstance(member, typer.Typer):
                member.info.cls = Group
                for command in member.registered_commands:
                    command.cls = Command
                app.add_typer(member, rich_help_panel=heading)
            else:
                app.command(name_of(member), cls=Command, rich_help_panel=heading)(member)


class Command(TyperCommand):
    """One command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read files of settings, then the options, which win; of an unknown one the error names the nearest."""
        if not (ctx.resilient_parsing or _HELP & set(args) or self.name in _NEED_NO_SETTINGS):
            root = ctx.find_root()
            ctx.meta[FROM_FILES] = use_files(root.command)
        with _nearest_option():
            return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return _usage(self, ctx)

    def get_help(self, ctx: Any) -> str:
        return _in_bold(super().get_help(ctx))

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        _write_text(self.help or "", formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """Commands under their headings, in the order in which they were added."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options; of an unknown one the error names the nearest."""
        with _nearest_option():
            return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:
        return _in_bold(super().get_help(ctx))

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        _write_text(self.help or "", formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands before the options."""
        headings: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.commands[name]
            if not command.hidden:
                heading = getattr(command, "rich_help_panel", None)
                under = headings.setdefault(heading if isinstance(heading, str) else "Commands", [])
                under.append((name, command.get_short_help_str(limit=1000)))
        width = max((len(name) for rows in headings.values() for name, _ in rows), default=0)
        for heading, rows in headings.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), help_) for name, help_ in rows])
        _write_parameters(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_text(self.epilog or "", formatter)


class Root(Group):
    """The command line itself. Each command ends with one line, not a traceback, for a failure that has a name."""

    order: Sequence[str] = ()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of use."""
        return sorted(self.commands, key=self.order.index)

    def invoke(self, ctx: Any) -> Any:
        try:
            with one_line_errors(ctx.meta), extras_named(partial(_needs, ctx)):
                return super().invoke(ctx)
        finally:
            OUT.stderr = False  # which --json has set

    def _main_shell_completion(self, *args: Any, **more: Any) -> None:
        """Answer the shell where it asks how a line goes on."""
        if "_SPLITWAY_COMPLETE" in os.environ:
            completion_init()
        super()._main_shell_completion(*args, **more)

    def main(self, *args: Any, **more: Any) -> Any:
        """Run the command line; write what is left to write, so that Python has nothing to complain of at its end."""
        try:
            with one_line_errors():
                try:
                    return super().main(*args, **more)
                finally:
                    sys.stdout.flush()
        except typer.Exit as error:
            sys.exit(error.exit_code)


def _needs(context: Any, library: str, do: str) -> str:
    return f"splitway {context.invoked_subcommand} needs {do}: there is no {library}"


@contextmanager
def _nearest_option() -> Iterator[None]:
    try:
        yield
    except typer.BadParameter as error:
        error.message = error.message.removeprefix("Value error, ")  # that is the library's
        if not error.message and getattr(error.param, "param_type_name", "") == "argument":
            error.param_hint = _argument(error.param).removesuffix("...")
        raise
    except Exception as error:
        if near := getattr(error, "possibilities", None):
            names = {each.lstrip("-"): each for each in near}  # whose dashes make them no more alike
            for name in get_close_matches(error.option_name.lstrip("-"), names, n=1):  # type: ignore[attr-defined]
                error.message = f"{error.message}. Did you mean {names[name]}?"  # type: ignore[attr-defined]
            error.possibilities = None  # type: ignore[attr-defined]
        raise


def _usage(command: TyperCommand, ctx: Any) -> list[str]:
    pieces = ["[OPTIONS]"]
    for each in command.get_params(ctx):
        if each.param_type_name == "argument":
            name = _argument(each)
            pieces.append(name if each.required else f"[{name}]")
    return pieces


def _write_text(text: str, formatter: Any) -> None:
    """Write paragraphs, and below them each example, separated by semicolons, in a line of its own, to be copied."""
    examples: list[str] = []
    for paragraph in filter(str.strip, text.split("\n\n")):
        joined = " ".join(paragraph.split())
        if found := _EXAMPLES.match(joined):
            examples += joined[found.end() :].split("; ")
        else:
            formatter.write_paragraph()
            formatter.write_text(joined)
    if examples:
        with formatter.section("Examples"):
            formatter.write("".join(f"  {each}\n" for each in examples))


def _write_parameters(command: TyperCommand | TyperGroup, ctx: Any, formatter: Any) -> None:
    rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for each in command.get_params(ctx):
        if (record := each.get_help_record(ctx)) is None:
            continue
        help_ = record[1]
        for pattern, words in _BOUNDS:
            help_ = pattern.sub(words, help_)
        if each.param_type_name == "argument":
            rows["Arguments"].append((_argument(each), help_))
        else:
            rows["Options"].append((_option(each, ctx), help_))
    for heading, written in rows.items():
        if written:
            with formatter.section(heading):
                formatter.write_dl(written)


def _argument(parameter: Any) -> str:
    name = parameter.metavar or str(parameter.name).upper().strip("_")
    return f"{name}..." if parameter.nargs != 1 else name


def _option(parameter: Any, ctx: Any) -> str:
    """The names of an option, short ones first, and what its value is: nothing for a flag."""
    names = ", ".join(sorted((*parameter.opts, *parameter.secondary_opts), key=len))
    if parameter.is_flag:
        return names
    value = parameter.metavar or _KIND.sub(r"\1", parameter.display_type(ctx))
    return f"{names} {_VALUES.get(value, value)}"


def _in_bold(text: str) -> str:
    """Headings in bold, which a terminal shows and a pipe is not sent."""
    return _HEADING.sub(lambda found: typer.style(found[0], bold=True), text)
