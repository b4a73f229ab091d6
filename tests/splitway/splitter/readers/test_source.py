"""A model is read as its author saved it, whatever its file is called, with the classes that it needs."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from splitway.errors import ModelError
from splitway.splitter.readers.source import load_model

layers = keras.layers


def adapted(**options: Any) -> Any:
    norm = layers.Normalization(**options)
    norm.adapt(np.random.default_rng(1).normal(5, 3, (50, 3)).astype("f4"))
    return norm


@pytest.mark.parametrize("deep", [0, 1, 2])
@pytest.mark.parametrize("options", [{}, {"invert": True}], ids=["plain", "invert"])
def test_statistics_of_a_nested_layer_come_back_from_h5(tmp_path: Path, deep: int, options: dict[str, Any]) -> None:
    inner: Any = adapted(**options)
    for _ in range(deep):
        inner = keras.Sequential([keras.Input((3,)), inner])
    model = keras.Sequential([keras.Input((3,)), inner, layers.Dense(2)])
    model.save(tmp_path / "m.h5")
    loaded = load_model(tmp_path / "m.h5", allow_legacy=True)
    rows = np.random.default_rng(2).normal(5, 3, (4, 3)).astype("f4")
    (got,) = loaded.run(dict.fromkeys(loaded.graph.inputs, rows)).values()
    np.testing.assert_allclose(got, model(rows).numpy(), atol=1e-6)


def test_a_vocabulary_that_h5_does_not_keep_is_missed(tmp_path: Path) -> None:
    lookup = layers.IntegerLookup(name="words")
    lookup.adapt(np.array([[4], [5]]))
    x = keras.Input((1,), dtype="int64")
    keras.Model(x, layers.Dense(2)(layers.Flatten()(layers.Embedding(5, 2)(lookup(x))))).save(tmp_path / "m.h5")
    with pytest.raises(ModelError, match="no vocabulary for its layer 'words'"):
        load_model(tmp_path / "m.h5", allow_legacy=True)


def small(path: Path, **given: Any) -> keras.Model:
    x = keras.Input((4,), **given)
    model = keras.Model(x, layers.Dense(2, name="top")(layers.Dense(3, name="h")(x)))
    model.save(path)
    return model


def test_content_and_not_the_suffix_says_how_a_file_is_read(tmp_path: Path) -> None:
    small(tmp_path / "m.keras")
    (tmp_path / "m.keras").rename(tmp_path / "download")
    assert load_model(tmp_path / "download").graph.steps
    small(tmp_path / "m.h5")
    (tmp_path / "m.h5").rename(tmp_path / "old.keras")
    with pytest.raises(ModelError, match="--allow-legacy"):
        load_model(tmp_path / "old.keras")
    loaded = load_model(tmp_path / "old.keras", allow_legacy=True)
    assert loaded.keep(tmp_path / ".").name == "model.h5"


def test_classes_come_from_packages_and_several_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "own_package"
    package.mkdir()
    layer = "import keras\nclass {}(keras.layers.Layer):\n    def call(self, x):\n        return x * 2\n"
    (package / "__init__.py").write_text("from .inside import One\n")
    (package / "inside.py").write_text(layer.format("One"))
    (tmp_path / "second_module.py").write_text(layer.format("Two"))
    monkeypatch.syspath_prepend(str(tmp_path))
    one, two = import_module("own_package").One, import_module("second_module").Two
    x = keras.Input((2,))
    keras.Model(x, layers.Dense(1)(two()(one()(x)))).save(tmp_path / "m.keras")
    for name in ("own_package", "own_package.inside", "second_module"):
        sys.modules.pop(name)
    assert load_model(tmp_path / "m.keras", custom_objects="own_package,second_module").graph.steps
    with pytest.raises(ModelError, match=r"needs 'Two'.*--custom-objects.*model.export"):
        load_model(tmp_path / "m.keras", custom_objects="own_package")


def test_a_file_of_keras_2_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    import json
    import zipfile

    small(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as old, zipfile.ZipFile(tmp_path / "m.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps({"keras_version": "2.15.0"}).encode()
            elif name == "config.json":
                content = content.replace(b'"Dense"', b'"Dense2"')
            new.writestr(name, content)
    with pytest.raises(ModelError, match=r"written by Keras 2\.15\.0, and Keras 3 cannot read it") as raised:
        load_model(tmp_path / "m.keras")
    assert "--custom-objects" not in raised.value.detail


def test_a_subclassed_model_is_sent_to_export(tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("tests")
    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self, **kept: Any) -> None:
            super().__init__(**kept)
            self.dense = layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    model = Own()
    model(np.zeros((1, 3), np.float32))
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"model.export\('folder'\)"):
        load_model(tmp_path / "m.keras")
