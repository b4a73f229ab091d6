"""The version of the installed package, which stands in pyproject.toml."""

from importlib.metadata import version

__version__ = version("splitway")
