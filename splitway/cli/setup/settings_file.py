"""`splitway.toml`: settings that hold for every command in a folder, or everywhere, where no variable says otherwise.

They become the environment of this process and of its children, so that each works as its variable does. A file that
another user could have written is not read. The file of the current folder may have come with a cloned repository: it
turns no protection off, and what it lets in or sends elsewhere is said where services start (ADR 17).
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
_NOT_FOR_FOLDERS = frozenset({"SPLITWAY_AUTH", "SPLITWAY_PUBLISHED_ON", "SPLITWAY_CA"})
"""Protections that the file of a folder must not turn off."""
_OPENING = re.compile(
    "SPLITWAY_(HOSTS|ORIGINS|METRICS_FROM|KEYS_FILE|JWT_.+|.+_TOKEN_FILE|ADMIN_KEY_FILE|IDENTITY|BUNDLE_KEY|SAMPLES|CACHE"
    "|RATE_STORE|FEATURE_EXTRACTOR|CLASSIFIER|BODIES)"
)
"""Settings that say who is let in or trusted, and where something is sent."""
_MOST_BYTES = 1 << 16
_KEY = re.compile(r"[a-z][a-z0-9_]*")
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


def say_what_opens(used: Mapping[str, Setting]) -> None:
    """Say on stderr which settings of the current folder's file let callers in, trust them, or send something away."""
    opening = [setting for setting in used.values() if setting.path == FILE and _OPENING.fullmatch(setting.name)]
    if opening:
        named = ", ".join(f"{setting.name} (line {setting.line})" for setting in opening)
        says = f"splitway: {FILE} of this folder says who may call, or where something is sent: {named}"
        ERR.print(says, style="yellow", markup=False)


def _is_set(name: str) -> bool:
    """Whether the environment has the setting; of a secret, the secret itself or its file."""
    return name in os.environ or (name.endswith("_FILE") and name.removesuffix("_FILE") in os.environ)


def _believed(path: Path) -> str | None:
    """The text of a file; None if there is none, or if it is ignored, of which a line on stderr tells.

    Raises SetupError for a file that SPLITWAY_CONFIG names and that is missing, and for one that is no text.
    """
    content = b""
    try:
        content, doubt = read_own(path, _MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.environ.get(CONFIG):
            raise SetupError(f"{CONFIG}={path}: {error.strerror}") from error
        return None
    except OSError as error:
        doubt = "it is a link" if path.is_symlink() else error.strerror or str(error)
    except ValueError as error:
        doubt = str(error)
    if doubt is not None:
        ERR.print(f"splitway: {path} is ignored: {doubt}", style="yellow", markup=False)
        os.environ[CONFIG] = ""  # so that children do not say it again
        return None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise SetupError(f"{path} is no TOML: it is not UTF-8") from error


def _settings(path: Path, text: str, catalogue: Catalogue) -> Iterator[Setting]:
    """What a file sets. Raises SetupError for the first line that is wrong."""
    content = _read_toml(path, text)
    lines = {key: _line_of(key, text) for key in content}
    given: dict[str, tuple[str, object]] = {}
    for key, value in content.items():
        try:
            name = _checked(key, value, catalogue)
            _check_place(name, path)
            _check_is_new(key, given.get(name))
            given[name] = key, _value(value)
        except SetupError as error:
            raise SetupError(f"{path}, line {lines[key]}: {error.detail}") from error
    wrong = catalogue.wrong({name: value for name, (_, value) in given.items()})
    for name, (key, value) in given.items():
        if name in wrong:
            raise SetupError(f"{path}, line {lines[key]}: {key}: {wrong[name]}")
        yield Setting(name, value if isinstance(value, str) else json.dumps(value), path, lines[key])


def _read_toml(path: Path, text: str) -> dict[str, Any]:
    """Raises SetupError for what is no TOML, or nests deeper or has more digits than Python reads."""
    import tomllib  # noqa: PLC0415 - 10 ms, where there is no file for nothing

    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise SetupError(f"{path} is no TOML: {error}") from error
    except RecursionError as error:
        raise SetupError(f"{path} is nested too deep") from error


def _checked(key: str, value: object, catalogue: Catalogue) -> str:
    """The variable of a key in a file. Raises SetupError for one that is unknown, or that a file must not set."""
    if catalogue.missing and _KEY.fullmatch(key):
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
    if _CREDENTIALS.search(str(value)):
        raise SetupError(f"{key} has a password in it, and a file like this is no place for secrets")
    return name


def _check_place(name: str, path: Path) -> None:
    """Raise SetupError for what a file that merely lies in the current folder must not set."""
    if name in _NOT_FOR_FOLDERS and path == FILE and CONFIG not in os.environ:
        above = "~/.config/splitway/splitway.toml"
        raise SetupError(f"a folder's file must not turn a protection off: set {name} itself, or write it into {above}")


def _check_is_new(key: str, before: tuple[str, object] | None) -> None:
    """Raise SetupError for a setting that stands in the file twice, written in two ways."""
    if before is not None:
        raise SetupError(f"{key} is set as {before[0]} already")


def _value(value: object) -> object:
    """As a variable has it: text, or what is written as JSON. Raises SetupError."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ",".join(value)
    if isinstance(value, str) and "\0" in value:
        raise SetupError("it has a character in it that no variable can have")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | str):
        return str(value)
    if isinstance(value, dict):
        return value
    raise SetupError("it must be text, a number, true or false, a list of texts, or a table")


def _line_of(key: str, text: str) -> int:
    """Where a key stands, from 1."""
    found = re.search(rf"^\s*\[?\s*[\"']?{re.escape(key)}[\"']?\s*[=.\]]", text, re.MULTILINE)
    return 1 if found is None else text.count("\n", 0, found.end()) + 1
