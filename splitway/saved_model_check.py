"""What a SavedModel may do, looked up in its file before TensorFlow loads it: loading already runs parts of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry

from splitway.errors import ModelError

_STATE = re.compile(
    r"(VarHandleOp|VarIsInitializedOp|VariableShape|ReadVariableOp|Assign(Add|Sub)?VariableOp|DisableCopyOnRead"
    r"|DestroyResourceOp|ResourceGather(Nd)?|(Mutable|MutableDense)?HashTable(OfTensors)?(V2)?|InitializeTableV2"
    r"|LookupTable(Find|Import|Insert|Remove|Size)V2|(Stateful)?PartitionedCall|If|While|Case|Assert|CheckNumerics(V2)?"
    r"|GuaranteeConst|TensorArray\w*V3|Multinomial|Random(Uniform(Int)?|StandardNormal|Gamma|PoissonV2|Shuffle)"
    r"|TruncatedNormal|ParameterizedTruncatedNormal|Stateful(Uniform\w*|StandardNormalV2|TruncatedNormal)"
    r"|RngSkip|RngReadAndSkip|StatelessRandomGetAlg)"
)
"""Operations with a state that stays in memory: variables, tables, random numbers, and calls of what is checked too."""
_OUTSIDE = re.compile(
    r"_.*|PyFunc.*|EagerPyFunc|ReadFile|WriteFile|MatchingFiles|Print.*|.*Debug.*|Copy|CopyHost|.*Reader.*|.*Dataset.*"
    r"|.*Iterator.*|.*Snapshot.*|InitializeTableFrom.*|LookupTableExport.*|.*Send.*|.*Recv.*|Remote.*|.*CustomCall.*"
    r"|Xla(HostCompute|Launch|CallModule).*|MlirPassthroughOp|TPU.*|ImmutableConst|GenerateVocabRemapping"
    r"|EncodeProto|DecodeProtoV2|Save.*|Restore.*|Sharded.*|MergeV2Checkpoints|BatchFunction"
)
"""Operations that reach out of the model, whatever TensorFlow says of their state."""
_SAVER = {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "LookupTableExportV2"}
"""What the saver's own functions do, which only the saver calls: neither loading nor serving does."""


def refuse_unsafe(folder: Path) -> None:
    """Raise ModelError if a SavedModel touches files or runs code anywhere, used or not, or cannot be read."""
    for name in ("saved_model.cpb", "saved_model.pbtxt"):
        if (folder / name).exists():
            raise ModelError(f"{folder} holds {name}, which would be read in place of saved_model.pb: remove it")
    try:
        model = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    except Exception as error:  # the parser has errors of its own beside those of files
        raise ModelError(f"{folder} cannot be loaded: its saved_model.pb is damaged") from error
    if not model.meta_graphs:
        raise ModelError(f"{folder} cannot be loaded: its saved_model.pb is empty: copy or download it again")
    for meta in model.meta_graphs:
        functions = {each.signature.name: each for each in meta.graph_def.library.function}
        saver = _saver_functions(meta, functions)
        _check(folder, meta.graph_def.node, functions, frozenset())
        for name, function in functions.items():
            _check(folder, function.node_def, functions, _SAVER if name in saver else frozenset())


def _check(folder: Path, nodes: Iterable[Any], functions: dict[str, Any], also: Iterable[str]) -> None:
    for node in nodes:
        if node.op in functions or node.op in also:
            continue
        known = op_def_registry.get(node.op)
        if known is None:
            raise ModelError(
                f"{folder} has the operation {node.op}, which this TensorFlow does not know: it is refused"
            )
        if node.op.startswith("LookupTableExport"):
            raise ModelError(
                f"{folder} has a table that can still grow ({node.name}), as a layer has right after adapt(): it is "
                "refused; write the model with model.save('name.keras'), and split that"
            )
        if _OUTSIDE.fullmatch(node.op) or (known.is_stateful and not _STATE.fullmatch(node.op)):
            raise ModelError(
                f"{folder} has the operation {node.op} ({node.name}), which touches files, runs code or otherwise "
                "acts outside of the model: it is refused"
            )


def _saver_functions(meta: Any, functions: dict[str, Any]) -> set[str]:
    """Functions that only the saver's nodes call."""
    saver = meta.saver_def
    ends = {name.split(":")[0] for name in (saver.save_tensor_name, saver.restore_op_name) if name}
    called = {name for node in meta.graph_def.node if node.name in ends for name in _calls(node)}
    others = {name for node in meta.graph_def.node if node.name not in ends for name in _calls(node)}
    others |= set(meta.object_graph_def.concrete_functions)
    others |= {name for function in functions.values() for node in function.node_def for name in _calls(node)}
    swapped = {name for name, function in functions.items() if "api_implements" in function.attr}
    return called - others - swapped


def _calls(node: Any) -> Iterator[str]:
    """Names of the functions that a node may call."""
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        yield from (each.name for each in value.list.func)
