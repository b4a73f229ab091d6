"""The fields that the JSON of requests and answers have in common, each within its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splitway.errors import InvalidInput, TooLarge
from splitway.wire.json_data import as_json
from splitway.wire.tensor import Parameters

MAX_ID = 1024
MAX_PARAMETERS = 64
"""Of the request, or of one tensor."""
MAX_PARAMETER_TEXT = 1024
"""Characters of a parameter's name or of its text."""
_SCALARS = (str, int, float)
_OBJECT = frozenset({dict})
MAX_NAME = 128
"""Characters of a tensor's name."""


def read_objects(header: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects of a list of the header; none where it is absent. Raises InvalidInput for anything else."""
    entries = header.get(key)
    if entries is None:
        return []
    if not isinstance(entries, list) or not set(map(type, entries)) <= _OBJECT:
        raise InvalidInput(f"{key!r} must be a list of objects")
    return entries


def read_id(header: Mapping[str, Any]) -> str | None:
    """The request's id, or None. Raises InvalidInput for one that is too long, or no string."""
    value = header.get("id")
    if value is not None and not (isinstance(value, str) and len(value) <= MAX_ID):
        raise InvalidInput(f"'id' must be a string of at most {MAX_ID} characters")
    return value


def read_parameters(owner: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The parameters of a request, a tensor or an output, without those that are null.

    Raises:
        InvalidInput: they are no object, or one of them is neither text, number nor boolean.
        TooLarge: there are too many, or one is too long.
    """
    value = owner.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"the parameters of {what} must be an object")
    if len(value) > MAX_PARAMETERS:
        raise TooLarge(f"{what} has more than {MAX_PARAMETERS} parameters")
    nulls = False
    for name, each in value.items():
        if len(name) > MAX_PARAMETER_TEXT or (type(each) is str and len(each) > MAX_PARAMETER_TEXT):
            raise TooLarge(f"{what} has a parameter of more than {MAX_PARAMETER_TEXT} characters")
        if not isinstance(each, _SCALARS):
            if each is not None:
                raise InvalidInput(f"the parameters of {what} must be strings, numbers or booleans")
            nulls = True
    return {name: each for name, each in value.items() if each is not None} if nulls else value


def check_flag(parameters: Parameters, name: str, what: str) -> None:
    """Raise InvalidInput unless a parameter that is there is true or false."""
    if type(flag := parameters[name]) is not bool:
        raise InvalidInput(f"parameter {name} of {what} must be true or false, not {as_json(flag)}")


def read_name(entry: Mapping[str, Any]) -> str:
    """A tensor's name. Raises InvalidInput where there is none, or it is too long."""
    name = entry.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:  # errors quote it
        raise InvalidInput(f"a tensor has no name, or one of more than {MAX_NAME} characters")
    return name
