"""Bundles of a few kilobytes, any number of versions of them from one conversion, for tests of what serves them."""

from __future__ import annotations

import datetime
import hashlib
import os
import shutil
import struct
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.bundle import engine_file_entry, load_bundle, write_manifest
from splitway.manifest import Cut, Manifest, SourceModel, TensorEntry
from splitway.names import Role
from splitway.runtime.engines.load import load_engine

WIDTH = 4
WORDS = 50
"""In the vocabulary of `words`."""
SPACE, NEXT_SPACE = "fs:00000000000000aa", "fs:00000000000000bb"
_MARKS = (1234.5, 2345.25, 3456.125, 4567.0625)
"""The bias of every model as it is converted; a version has its own in its place."""
_FEATURES = TensorEntry(name="features", datatype="FP32", shape=(-1, WIDTH))
_PROBABILITIES = TensorEntry(name="probabilities", datatype="FP32", shape=(-1, WIDTH))
_KINDS: dict[str, tuple[Role, tuple[TensorEntry, ...], tuple[TensorEntry, ...]]] = {
    "extractor": (
        "extractor",
        (
            TensorEntry(name="x", datatype="FP32", shape=(-1, WIDTH)),
            TensorEntry(name="ids", datatype="INT32", shape=(-1, 2)),
        ),
        (_FEATURES,),
    ),
    "words": ("extractor", (TensorEntry(name="ids", datatype="INT32", shape=(-1, 2)),), (_FEATURES,)),
    "steep": ("head", (_FEATURES,), (_PROBABILITIES,)),
    "body": ("body", (_FEATURES,), (_FEATURES,)),
    "head": ("head", (_FEATURES,), (_PROBABILITIES,)),
    "detector": (
        "head",
        (_FEATURES,),
        (
            TensorEntry(name="score", datatype="FP32", shape=(-1, WIDTH)),
            TensorEntry(name="index", datatype="INT64", shape=(-1,)),
        ),
    ),
}


def write_bundle(models: Path, name: str, version: int, kind: str = "head", **changes: Any) -> Path:
    """Write a version whose answers are its own, whole or not at all, and replace it if it is there.

    Args:
        models, name: where.
        version: its number, from which its weights follow.
        kind: extractor (x and ids to features), words (an extractor of ids alone, which fails on those outside of its
            vocabulary), body, head (probabilities), steep (a head that gives NaN for large features), or detector
            (score and index).
        changes: other fields of the manifest; `seed` for other weights than the number's; `damaged` for a bundle of
            which one byte is not as its manifest says.
    """
    role, inputs, outputs = _KINDS[kind]
    bias = np.random.default_rng(changes.pop("seed", version)).normal(size=WIDTH).astype("<f4")
    damaged = changes.pop("damaged", False)
    target = models / name / str(version)
    folder = target.with_name(f".{version}")
    folder.mkdir(parents=True)
    file = folder / "model.tflite"
    file.write_bytes(_converted(kind).replace(struct.pack("<4f", *_MARKS), bias.tobytes()))
    fields: dict[str, Any] = {
        "name": name,
        "version": str(version),
        "role": role,
        "inputs": inputs,
        "outputs": outputs,
        "engine_files": (engine_file_entry(folder, file, "litert"),),
        "feature_space": SPACE,
        "gives_space": NEXT_SPACE if role == "body" else None,
        "source_model": SourceModel(name="tiny", sha256=hashlib.sha256(b"tiny").hexdigest(), path="source/tiny"),
        "cut": Cut(layer="middle", bytes_per_row=4 * WIDTH),
        "created": datetime.datetime.now(datetime.UTC).isoformat(),
        "tools": {},
    }
    write_manifest(folder, Manifest(**fields | changes))
    if damaged:
        damage(folder)
    if target.exists():
        target.rename(folder.with_name(f".{version}.old"))
        folder.rename(target)
        shutil.rmtree(folder.with_name(f".{version}.old"))
    else:
        folder.rename(target)
    return target


def damage(folder: Path) -> None:
    """Change one byte of a bundle's model."""
    file = folder / "model.tflite"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def oracle(folder: Path, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What this version answers, without a server."""
    return load_engine("litert", load_bundle(folder), 1).infer(inputs)


@cache
def _converted(kind: str) -> bytes:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    import tensorflow as tf

    _, inputs, _ = _KINDS[kind]
    bias = tf.constant(_MARKS, tf.float32)

    def run(**tensors: Any) -> dict[str, Any]:
        if kind == "extractor":
            return {"features": tensors["x"] + bias + tf.cast(tf.reduce_sum(tensors["ids"], 1, True), tf.float32)}
        if kind == "words":
            return {"features": tf.reduce_sum(tf.gather(tf.ones((WORDS, WIDTH)), tensors["ids"]), 1) + bias}
        total = tensors["features"] + bias
        if kind == "body":
            return {"features": total}
        if kind == "head":
            return {"probabilities": tf.nn.softmax(total)}
        if kind == "steep":
            return {"probabilities": tf.nn.softmax(tf.square(total))}
        return {"score": total, "index": tf.argmax(total, 1)}

    types = {"FP32": tf.float32, "INT32": tf.int32}
    specs = {e.name: tf.TensorSpec((1, *e.shape[1:]), types[e.datatype], name=e.name) for e in inputs}
    module = tf.Module()
    module.serve = tf.function(run)
    with tempfile.TemporaryDirectory(prefix="tiny-") as folder:
        tf.saved_model.save(module, folder, signatures={"serve": module.serve.get_concrete_function(**specs)})
        content: bytes = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serve"]).convert()
    assert content.count(struct.pack("<4f", *_MARKS)) == 1
    return content
