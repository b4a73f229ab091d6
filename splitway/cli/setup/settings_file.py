"""`splitway.toml`: settings that hold for every command in a folder, or everywhere, where no variable says otherwise.

They become the environment of this process and of its children, so that each works as its variable does. A file that
another user could have written is not read.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitway.cli.console import ERR
from splitway.errors import SetupError
from splitway.security.own_files import read_own

if TYPE_CHECKING:
    from splitway.cli.setup.known import Catalogue, Known

FILE = Path("splitway.toml")
CONFIG = "SPLITWAY_CONFIG"
URL = "SPLITWAY_URL"
_MOST_BYTES = 1 << 16
_CREDENTIALS = re.compile(r"://[^/]*@|password=")


@dataclass(frozen=True)
class Setting:
    """One line of a file."""

    name: str
    """The variable."""
    value: str
    path: Path
    line: int

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"


def places() -> Sequence[Path]:
    """The files that are looked for, the first of which wins."""
    if (named := os.environ.get(CONFIG)) is not None:
        return [Path(named)] if named else []
    above = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 - never fails
    return [FILE, Path(above) / "splitway" / FILE]


def use_files(root: Any) -> Mapping[str, Setting]:
    """Make the settings in files the environment's, where it does not say otherwise; return them, by variable.

    Args:
        root: the command line, some options of which have variables.

    Raises:
        SetupError: a file has a setting that is unknown, wrong, or not to be in a file.
    """
    contents = [(path, text) for path in places() if (text := _believed(path)) is not None]
    if not contents:
        return {}
    from splitway.cli.setup.known import Catalogue  # noqa: PLC0415 - half a second, where there is no file for nothing

    catalogue, found = Catalogue(root), dict[str, Setting]()
    for path, text in contents:
        for setting in _settings(path, text, catalogue):
            found.setdefault(setting.name, setting)
    used = {name: setting for name, setting in found.items() if not _is_set(name)}
    os.environ.update({name: setting.value for name, setting in used.items()})
    os.environ[CONFIG] = ""  # children have it from the environment
    return used


def _is_set(name: str) -> bool:
    """Whether the environment has the setting; of a secret, the secret itself or its file."""
    return name in os.environ or (name.endswith("_FILE") and name.removesuffix("_FILE") in os.environ)


def _believed(path: Path) -> str | None:
    """The text of a file; None if there is none, or if it is ignored, of which a line on stderr tells."""
    try:
        content, doubt = read_own(path, _MOST_BYTES)
        text = content.decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        doubt = "it is a link" if path.is_symlink() else error.strerror or str(error)
    except ValueError as error:
        doubt = str(error)
    if doubt is None:
        return text
    ERR.print(f"splitway: {path} is ignored: {doubt}", style="yellow", markup=False)
    return None


def _settings(path: Path, text: str, catalogue: Catalogue) -> Iterator[Setting]:
    """What a file sets. Raises SetupError for the first line that is wrong."""
    import tomllib  # noqa: PLC0415 - 10 ms, where there is no file for nothing

    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"{path} is no TOML: {error}") from error
    lines = {key: _line_of(key, text) for key in content}
    given: dict[str, tuple[str, object]] = {}
    for key, value in content.items():
        try:
            given[_checked(key, value, catalogue)] = key, _value(value)
        except SetupError as error:
            raise SetupError(f"{path}, line {lines[key]}: {error.detail}") from error
    wrong = catalogue.wrong({name: value for name, (_, value) in given.items()})
    for name, (key, value) in given.items():
        if name in wrong:
            raise SetupError(f"{path}, line {lines[key]}: {key}: {wrong[name]}")
        yield Setting(name, value if isinstance(value, str) else json.dumps(value), path, lines[key])


def _checked(key: str, value: object, catalogue: Catalogue) -> str:
    """The variable of a key in a file. Raises SetupError for one that is unknown, or that a file must not set."""
    if catalogue.missing and key == key.lower():
        name = f"SPLITWAY_{key.upper()}"
        known: Known | None = catalogue.settings.get(name)
    else:
        known = catalogue.find(key)
        name = known.name
    if name == URL:
        raise SetupError("a file must not send the command line to another address: use --url or SPLITWAY_URL")
    if name == CONFIG:
        raise SetupError("a file cannot name another file")
    if known is not None and known.is_secret:
        raise SetupError(f"{key} is a secret: write it into a file of its own, and name that as {key}_file")
    if isinstance(value, str) and _CREDENTIALS.search(value):
        raise SetupError(f"{key} has a password in it, and a file like this is no place for secrets")
    return name


def _value(value: object) -> object:
    """As a variable has it: text, or what is written as JSON. Raises SetupError."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | str):
        return str(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    if isinstance(value, dict):
        return value
    raise SetupError("it must be text, a number, true or false, a list of texts, or a table")


def _line_of(key: str, text: str) -> int:
    """Where a key stands, from 1."""
    found = re.search(rf"^\s*\[?\s*[\"']?{re.escape(key)}[\"']?\s*[=.\]]", text, re.MULTILINE)
    return 1 if found is None else text.count("\n", 0, found.end()) + 1
