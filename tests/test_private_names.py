"""Private names of libraries that Splitway uses: an upgrade that drops one fails here, with the name and its place."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NAMES = {
    "uvicorn": [
        "uvicorn._types.ASGI3Application",
        "uvicorn.protocols.http.flow_control.HIGH_WATER_LIMIT",
        "uvicorn.protocols.http.httptools_impl.STATUS_LINE",
        "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol._start_asgi_task",
        "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol.on_response_complete",
        "uvicorn.protocols.http.httptools_impl.RequestResponseCycle.run_asgi",
        "uvicorn.server.Server.main_loop",
        "uvicorn.server.Server.on_tick",
        "uvicorn.server.Server.startup",
        "uvicorn.server.ServerState",
    ],
    "keras": [
        "keras.Model._flatten_layers",
        "keras:tensor._keras_history",
        "keras:masked._keras_mask",
        "keras:dropout._call_context_args",
        "keras:functional._nodes_by_depth",
        "keras:functional._inputs_struct",
        "keras:functional._outputs_struct",
        "keras:sequential._functional",
    ],
    "tensorflow": [
        "tensorflow.python.framework.convert_to_constants.convert_variables_to_constants_v2",
        "tensorflow.python.framework.op_def_registry.get",
        "tensorflow.python.ops.handle_data_util.copy_handle_data",
        "tensorflow:variable._handle_name",
        "tensorflow:table._create_resource",
    ],
    "pillow": ["PIL._webp.WebPAnimDecoder"],
}
"""By library. A name after a colon is an attribute of an object that `MADE` makes."""
OWN = {"_asdict", "_current_frames", "_exit", "_fields", "_replace"}
"""Python's own, which its documentation describes."""


@cache
def _functional() -> Any:
    import keras

    words = keras.Input((4,), dtype="int32", name="words")
    embedded = keras.layers.Embedding(8, 2, mask_zero=True, name="embedding")(words)
    dropped = keras.layers.Dropout(0.5, name="dropout")(embedded)
    return keras.Model({"words": words}, {"mean": keras.layers.GlobalAveragePooling1D()(dropped)})


def _sequential() -> Any:
    import keras

    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def _table() -> Any:
    import tensorflow as tf

    initializer = tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([1], tf.int64))
    return tf.lookup.StaticHashTable(initializer, -1)


def _variable() -> Any:
    import tensorflow as tf

    return tf.Variable(1.0)


MADE: dict[str, Callable[[], Any]] = {
    "functional": _functional,
    "sequential": _sequential,
    "tensor": lambda: _functional().inputs[0],
    "masked": lambda: _functional().get_layer("embedding").output,
    "dropout": lambda: _functional().get_layer("dropout"),
    "table": _table,
    "variable": _variable,
}


def _object(path: str) -> Any:
    """Return what a dotted path names: a module, or what lies in one. Raises ImportError, AttributeError."""
    module, _, rest = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), rest)
    except ModuleNotFoundError:
        return getattr(_object(module), rest)


def _find(name: str) -> None:
    """Raise ImportError or AttributeError if there is no such name."""
    if ":" in name:
        made, _, attribute = name.partition(":")[2].partition(".")
        getattr(MADE[made](), attribute)
    else:
        _object(name)


@pytest.mark.parametrize(("library", "name"), [(library, name) for library, names in NAMES.items() for name in names])
def test_the_library_has_the_name(library: str, name: str) -> None:
    try:
        _find(name)
    except (ImportError, AttributeError) as error:
        pytest.fail(
            f"{library} {version(library)} has no {name}: {error}. Splitway uses it; follow the library where "
            f"`git grep {name.rpartition('.')[2]}` finds it, or lower the upper bound of {library} in pyproject.toml"
        )


@pytest.mark.parametrize("library", NAMES)
def test_the_library_has_an_upper_bound(library: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    ours = [line for line in lines if re.match(rf"{library}[<>=]", line)]
    assert ours
    assert all(re.search(r",<[0-9]", line) for line in ours), f"{library} needs an upper bound: {ours}"


def _trees() -> list[ast.Module]:
    files = [file for top in ("gateway", "services", "splitway") for file in (ROOT / top).rglob("*.py")]
    return [ast.parse(file.read_text()) for file in files]


def _made_here(node: ast.AST) -> Iterator[str]:
    """The names that a statement of ours gives to something."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
        yield from [node.attr] * (node.value.id in {"self", "cls"})


def _used(node: ast.AST) -> Iterator[str]:
    """The names that an expression or an import asks for."""
    if isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.ImportFrom):
        yield from (node.module or "").split(".")
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
        yield from (each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str))


def test_the_list_is_whole() -> None:
    nodes = [node for tree in _trees() for node in ast.walk(tree)]
    ours = {name for node in nodes for name in _made_here(node)} | OWN
    private = {name for node in nodes for name in _used(node) if re.match(r"_[a-z]", name)}
    listed = {part for names in NAMES.values() for name in names for part in re.split(r"[.:]", name)}
    assert private - ours <= listed, "list each private name, and give its library an upper bound"
