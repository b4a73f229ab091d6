"""The options that a user named, and the refusal of those that change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from splitway.errors import SetupError

if TYPE_CHECKING:
    import typer


@dataclass(frozen=True)
class Given:
    """The options on the command line, or the arguments in Python. Defaults and variables are not among them.

    Args:
        options: each as the user writes it, by the name of its parameter.
    """

    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, context: typer.Context) -> Given:
        """Return what was given to a command."""
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
