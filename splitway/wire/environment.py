"""Settings from the environment, with one clear line where they contradict themselves."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from splitway.errors import SetupError

Settings = TypeVar("Settings", bound=BaseSettings)


def read_environment(kind: type[Settings]) -> Settings:
    """Read a settings class from its variables. Raises SetupError naming the first variable that is wrong."""
    try:
        return kind()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        prefix = kind.model_config.get("env_prefix", "")
        raise SetupError(f"{prefix}{name.upper()}={first.get('input')}: {first['msg']}") from error
