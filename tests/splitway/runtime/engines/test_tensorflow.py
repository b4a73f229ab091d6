"""The engine that runs graphs: which it does not run, and that it reads what was hashed and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitway.bundle import Bundle, engine_file_entry, load_bundle, read_manifest, write_manifest
from splitway.errors import BundleError
from splitway.runtime.engines.load import load_engine
from tests.tiny_bundles import WIDTH, write_bundle

Step = Callable[[Any], Any]


def bundle_of(models: Path, step: Step) -> Path:
    """A head whose SavedModel does this to its features."""
    import tensorflow as tf

    folder = write_bundle(models, "classifier", 1)
    module = tf.Module()
    spec = tf.TensorSpec((None, WIDTH), tf.float32, name="features")
    module.serve = tf.function(lambda features: {"probabilities": step(features)}, input_signature=[spec])
    tf.saved_model.save(module, str(folder / "saved_model"), signatures={"serve": module.serve})
    list_again(folder)
    return folder


def list_again(folder: Path) -> None:
    """Hash what lies in the SavedModel's folder, as somebody does who makes a bundle."""
    files = sorted(path for path in (folder / "saved_model").rglob("*") if path.is_file())
    entries = tuple(engine_file_entry(folder, path, "tensorflow") for path in files)
    manifest = read_manifest(folder)
    write_manifest(folder, manifest.model_copy(update={"engine_files": (*manifest.engine_files[:1], *entries)}))


def run(bundle: Bundle) -> Any:
    features = np.ones((2, WIDTH), np.float32)
    return load_engine("tensorflow", bundle, 1).infer({"features": features})["probabilities"]


def test_a_graph_that_writes_a_file_is_not_run(tmp_path: Path) -> None:
    import tensorflow as tf

    written = tmp_path / "written"

    def write(features: Any) -> Any:
        tf.io.write_file(str(written), "attacked")
        return features * 2.0

    bundle = load_bundle(bundle_of(tmp_path, write))
    with pytest.raises(BundleError, match="has the operation WriteFile") as caught:
        run(bundle)
    assert str(bundle.folder) in caught.value.detail
    assert tempfile.gettempdir() + "/splitway-" not in caught.value.detail
    assert not written.exists()


def test_graphs_that_read_files_or_call_python_are_not_run(tmp_path: Path) -> None:
    import tensorflow as tf

    def read(features: Any) -> Any:
        size = tf.strings.length(tf.io.read_file("/etc/passwd"))
        return features + tf.cast(size, tf.float32)

    def list_(features: Any) -> Any:
        return features + tf.cast(tf.size(tf.io.matching_files("/etc/*")), tf.float32)

    def call(features: Any) -> Any:
        made = tf.py_function(lambda x: x, [features], tf.float32)
        return tf.ensure_shape(made, (None, WIDTH))

    def restore(features: Any) -> Any:
        return (
            features + tf.raw_ops.RestoreV2(prefix="/x", tensor_names=["a"], shape_and_slices=[""], dtypes=["float"])[0]
        )

    for name, step in (("ReadFile", read), ("MatchingFiles", list_), ("EagerPyFunc", call), ("RestoreV2", restore)):
        with pytest.raises(BundleError, match=f"has the operation {name}"):
            run(load_bundle(bundle_of(tmp_path / name, step)))


def test_what_is_swapped_after_the_check_is_not_read(tmp_path: Path) -> None:
    folder = bundle_of(tmp_path, lambda features: features * 2.0)
    bundle = load_bundle(folder)
    other = bundle_of(tmp_path / "other", lambda features: features * 3.0)
    graph = folder / "saved_model" / "saved_model.pb"
    graph.write_bytes((other / "saved_model" / "saved_model.pb").read_bytes())
    with pytest.raises(BundleError, match=r"saved_model\.pb is corrupted|bytes; .* are allowed"):
        run(bundle)


def test_nothing_is_left_of_the_copy_and_the_model_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    bundle = load_bundle(bundle_of(tmp_path / "models", lambda features: features * 2.0))
    np.testing.assert_array_equal(run(bundle), np.full((2, WIDTH), 2.0))
    assert list(temporary.glob("splitway-*")) == []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(BundleError, match="cannot be loaded by TensorFlow"):
        run(load_bundle(bundle.folder))
