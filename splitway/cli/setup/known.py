"""Every setting of this Splitway: its variable, what reads it, and its value where it is not set."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from splitway.cli.doctor.variables import COMMANDS, PREFIX, SETTINGS, find_settings
from splitway.environment import secret_fields, wrong_values, wrong_variables
from splitway.errors import SetupError

_ABOUT = {
    "SPLITWAY_API_KEY": "Key that the commands which ask a gateway show it.",
    "SPLITWAY_CA": "PEM file of authorities that commands trust for an https address, besides the usual ones.",
    "SPLITWAY_CACHE_DIR": "Folder of the downloads of splitway build. Default: ~/.cache/splitway.",
    "SPLITWAY_CONFIG": "The one file of settings to read, instead of those that are found; empty for none.",
}


@dataclass
class Known:
    """One setting."""

    name: str
    """The variable."""
    about: str
    defaults: dict[str, object] = field(default_factory=dict)
    """The value where it is not set, by what reads it."""
    is_secret: bool = False

    @property
    def key(self) -> str:
        """The name in a file."""
        return self.name.removeprefix(PREFIX).lower()

    @property
    def default(self) -> str:
        """The value where it is not set, as it would be written into a variable; with what reads it if they differ."""
        texts = {reader: _written(value) for reader, value in self.defaults.items()}
        if len(set(texts.values())) < 2:
            return next(iter(texts.values()), "")
        return ", ".join(f"{text or 'none'} for {reader}" for reader, text in texts.items())


class Catalogue:
    """All settings, by variable.

    Args:
        root: the command line, some options of which have variables.
    """

    def __init__(self, root: Any) -> None:
        found = {app: find_settings(app) for app in SETTINGS}
        self._kinds = {app: kind for app, kind in found.items() if kind is not None}
        self._options = list(_options(root))
        self.missing = [app for app, kind in found.items() if kind is None]
        """Apps whose libraries are not installed, so that their settings are not known."""

    @property
    def whose(self) -> str:
        return " and ".join(self.missing)

    @cached_property
    def settings(self) -> Mapping[str, Known]:
        found: dict[str, Known] = {}
        for app, kind in self._kinds.items():
            secrets = secret_fields(kind)
            for name, info in kind.model_fields.items():
                known = found.setdefault(_variable(name), Known(_variable(name), _in_line(info.description)))
                known.defaults[app] = info.default
                known.is_secret = name in secrets
        for option in self._options:
            known = found.setdefault(option.envvar, Known(option.envvar, _in_line(option.help)))
            if not known.defaults:
                known.defaults["the command line"] = option.default
        for name in COMMANDS:
            secret = name.removesuffix("_FILE")
            found.setdefault(name, Known(name, _ABOUT.get(name, ""), is_secret=name == f"{PREFIX}API_KEY"))
            if secret != name:
                found.pop(name)
        for known in [each for each in found.values() if each.is_secret]:
            named = f"{known.name}_FILE"
            found[named] = Known(named, f"File with the secret of {known.name}.")
        return dict(sorted(found.items()))

    def find(self, key: str) -> Known:
        """Return the setting of this name, however it is written. Raises SetupError naming the nearest."""
        name = _variable(key.lower().removeprefix(PREFIX.lower()).replace("-", "_"))
        if (known := self.settings.get(name)) is not None:
            return known
        if self.missing:
            do = "pip install 'splitway[all]' to see them"
            raise SetupError(
                f"{key!r} is no setting of the command line; those of {self.whose} are not known here: {do}"
            )
        near = difflib.get_close_matches(name, self.settings, n=1)
        hint = f"did you mean {self.settings[near[0]].key!r}?" if near else "splitway config lists those there are"
        raise SetupError(f"there is no setting {key!r}; {hint}")

    def wrong(self, values: Mapping[str, object]) -> Mapping[str, str]:
        """Why settings cannot have these values, by variable."""
        found: dict[str, str] = {}
        for kind in self._kinds.values():
            given = {name: values[_variable(name)] for name in kind.model_fields if _variable(name) in values}
            found |= {_variable(name): says for name, says in wrong_values(kind, given).items()}
        return {**self._wrong_options(values), **found}

    def wrong_here(self) -> Mapping[str, str]:
        """Why settings cannot have what the environment says, by variable."""
        found = [wrong_variables(kind) for kind in self._kinds.values()]
        options = self._wrong_options({name: value for name, value in os.environ.items() if value})
        return {**options, **{_variable(name): why for each in found for name, why in each.items()}}

    def _wrong_options(self, values: Mapping[str, object]) -> Mapping[str, str]:
        given = [option for option in self._options if option.envvar in values]
        wrong = (each for each in given if not _fits(each.type_descriptor.annotation, values[each.envvar]))
        return {option.envvar: "it has the wrong type" for option in wrong}


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _options(command: Any) -> Iterable[Any]:
    yield from (option for option in command.params if isinstance(option.envvar, str))
    for below in getattr(command, "commands", {}).values():
        yield from _options(below)


def _fits(annotation: Any, value: object) -> bool:
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError:
        return False
    return True


def _in_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _written(value: object) -> str:
    """As it is written into a variable; nothing for what is not set."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
