"""Libraries that extras bring: a missing one becomes a sentence that says what to install."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from splitway.errors import SetupError

LIBRARIES = {
    "serve": ("fastapi", "starlette", "uvicorn", "httptools", "prometheus_client", "ai_edge_litert"),
    "gateway": ("limits", "jwt", "python_multipart", "redis", "tenacity"),
    "split": ("keras", "tensorflow", "h5py", "matplotlib"),
    "otel": ("opentelemetry",),
}
"""The modules that each extra of pyproject.toml brings; those of several extras stand with the first."""
_SHARED = {"gateway": LIBRARIES["serve"][:-1]}
"""Modules that an extra brings although they stand with another."""


class ExtraMissing(ModuleNotFoundError):
    """A library is not installed, and these extras bring it and all else that is needed."""

    def __init__(self, library: str, extras: Sequence[str]) -> None:
        super().__init__(f"No module named {library!r}", name=library)
        self.extras = extras


def require(*extras: str) -> None:
    """Check that all libraries of some extras are there, without importing them. Raises ExtraMissing."""
    for extra in extras:
        for library in (*LIBRARIES[extra], *_SHARED.get(extra, ())):
            if not _is_there(library):
                raise ExtraMissing(library, extras)


def _is_there(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):  # in `sys.modules` it is barred, or was made by hand
        return False


@contextmanager
def extras_named(says: Callable[[str, str], str]) -> Iterator[None]:
    """Turn the import of a library that an extra brings, and that is not there, into a SetupError.

    Args:
        says: the sentence, from the library's name and the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        brought_by = [extra for extra, libraries in LIBRARIES.items() if library in libraries]
        extras = error.extras if isinstance(error, ExtraMissing) else brought_by
        if not extras:
            raise
        raise SetupError(says(error.name or "", f"pip install 'splitway[{','.join(extras)}]'")) from error
