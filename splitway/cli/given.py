"""The options that a user typed, and the refusal of those that change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import typer

from splitway.errors import SetupError

Url = Annotated[
    str | None,
    typer.Option(
        help="Address of the gateway. Default: that of the pipeline started in this folder, or http://127.0.0.1:8080.",
        envvar="SPLITWAY_URL",
    ),
]
"""The gateway that a command asks."""


@dataclass(frozen=True)
class Given:
    """The options that stand on the command line. Defaults and variables are for many commands, and not among them.

    Args:
        options: each as the user types it, by the name of its parameter.
    """

    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, context: typer.Context) -> Given:
        """What was given to a command."""
        typed = {}
        for parameter in context.command.params:
            source = context.get_parameter_source(parameter.name or "")
            if source is not None and source.name == "COMMANDLINE":
                typed[parameter.name or ""] = max(parameter.opts, key=len)
        return cls(typed)

    def __contains__(self, name: str) -> bool:
        return name in self.options

    def refuse(self, *names: str, because: str) -> None:
        """Raise SetupError if one of these options was given, which has no effect, with the reason for that."""
        idle = [self.options[name] for name in names if name in self]
        if idle:
            has, it = ("has", "it") if len(idle) == 1 else ("have", "them")
            raise SetupError(f"{' and '.join(idle)} {has} no effect: {because}; leave {it} out")
