"""Splitway: cut a trained Keras model into services, prove the cut, serve the pieces as one."""

from importlib.metadata import version

__version__ = version("splitway")
