"""Settings from the environment, with one clear line where they contradict themselves.

A secret may stand in a file instead, which the same variable with `_FILE` behind it names, as Docker and Kubernetes
hand them over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsError

from splitway.errors import SetupError

Settings = TypeVar("Settings", bound=BaseSettings)
_MAX_SECRET_BYTES = 64 * 1024
_CREDENTIALS = re.compile(r".*@|(?<=password=)[^&]*")
"""In an address, however it is mistyped, before its host, and among its options."""
_WORDS = {
    "int_parsing": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_parsing": "it must be a number",
    "bool_parsing": "it must be true or false",
    "literal_error": "it must be {expected}",
    "greater_than_equal": "it must be {ge} or more",
    "greater_than": "it must be more than {gt}",
    "less_than_equal": "it must be {le} or less",
    "less_than": "it must be less than {lt}",
}
"""What is wrong, by the library's name for it."""
_NO_JSON = "it must be JSON"


def read_environment(kind: type[Settings]) -> Settings:
    """Read a settings class from its variables. Raises SetupError naming the first variable that is wrong."""
    try:
        return kind(**_from_files(kind))
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        name = _prefix(kind) + "_".join(str(part) for part in first["loc"]).upper()
        shown = "" if field in secret_fields(kind) else f"={masked(str(first.get('input')))}"
        raise SetupError(f"{name}{shown}: {_what_is_wrong(kind, field, first)}") from None  # the cause prints secrets
    except SettingsError as error:
        raise SetupError(f"{_prefix(kind)}{_field_of(error).upper()} cannot be read: {_NO_JSON}") from None


def masked(text: str) -> str:
    """A value without the credentials of an address in it."""
    return _CREDENTIALS.sub(lambda found: "***@" if found[0].endswith("@") else "***", text)


def wrong_values(kind: type[BaseSettings], values: Mapping[str, Any]) -> dict[str, str]:
    """Return why settings cannot have these values, by name; what the variables say is not judged."""
    return {field: why for field, why in _wrong(kind, values).items() if field in values}


def wrong_variables(kind: type[BaseSettings]) -> dict[str, str]:
    """Return why settings cannot have what their variables say, by name; files with secrets are not read."""
    return _wrong(kind, {})


def _wrong(kind: type[BaseSettings], values: Mapping[str, Any]) -> dict[str, str]:
    try:
        kind(**values)
    except ValidationError as error:
        found = [(str(each["loc"][0]), each) for each in error.errors() if each["loc"]]
        return {field: _what_is_wrong(kind, field, each) for field, each in found}
    except SettingsError as error:
        return {_field_of(error): _NO_JSON}
    return {}


def _field_of(error: SettingsError) -> str:
    """The setting that is no JSON: the library says which in its text alone."""
    return str(error).partition('"')[2].partition('"')[0]


def _what_is_wrong(kind: type[BaseSettings], field: str, error: ErrorDetails) -> str:
    """In plain words where there are some. Where a pattern does not fit, it is the setting's own first sentence."""
    if words := _WORDS.get(error["type"]):
        return words.format(**{name: _plain(value) for name, value in error.get("ctx", {}).items()})
    about = kind.model_fields[field].description if field in kind.model_fields else None
    if error["type"] == "string_pattern_mismatch" and about:
        return f"that is none of its values. {' '.join(about.split()).partition('. ')[0].rstrip('.')}"
    return error["msg"].removeprefix("Value error, ")


def _plain(value: object) -> object:
    """A bound as it is written into a variable."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def secret_fields(kind: type[BaseSettings]) -> list[str]:
    """The settings that are secrets, each of which may stand in a file."""
    return [
        name
        for name, field in kind.model_fields.items()
        if SecretStr in (field.annotation, *get_args(field.annotation))
    ]


def _prefix(kind: type[BaseSettings]) -> str:
    return kind.model_config.get("env_prefix", "")


def _from_files(kind: type[BaseSettings]) -> dict[str, Any]:
    """The secrets that stand in files. Raises SetupError for a file that cannot be read, or is one too many."""
    found: dict[str, Any] = {}
    for field in secret_fields(kind):
        name = f"{_prefix(kind)}{field.upper()}"
        path = os.environ.get(f"{name}_FILE", "")
        if not path:
            continue
        if os.environ.get(name):
            raise SetupError(f"{name} and {name}_FILE are both set: unset one")
        found[field] = SecretStr(read_secret(Path(path), f"{name}_FILE"))
    return found


def read_secret(path: Path, named_by: str) -> str:
    """Return the one line that a file holds, which the variable `named_by` names.

    Raises SetupError if it cannot be read, is empty, or holds more than a line.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_SECRET_BYTES + 1).decode().strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SetupError(f"{named_by}: cannot read {path}: {why}") from error
    if not text or len(text) > _MAX_SECRET_BYTES or len(text.splitlines()) > 1:
        raise SetupError(f"{named_by}: {path} must hold exactly one line, the secret")
    return text
