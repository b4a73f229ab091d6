"""Model files that would run code, each made so that it leaves a mark if it does."""

from __future__ import annotations

import base64
import copy
import json
import marshal
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from splitway.errors import ModelError
from splitway.splitter.readers.source import load_model

Config = dict[str, Any]


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that an attack leaves behind."""
    return tmp_path / "attacked"


@pytest.fixture
def honest(tmp_path: Path) -> Path:
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(3, name="hidden")(inputs)
    keras.Model(inputs, keras.layers.Dense(2, name="last")(hidden)).save(tmp_path / "honest.keras")
    return tmp_path / "honest.keras"


def code(mark: Path) -> Config:
    """A function as Keras writes one down: marshalled byte code."""
    source = compile(f"lambda x: (__import__('pathlib').Path({str(mark)!r}).touch(), x)[1]", "attack", "eval")
    function = next(each for each in source.co_consts if hasattr(each, "co_code"))
    packed = base64.b64encode(marshal.dumps(function)).decode()
    whole = {"code": packed, "defaults": None, "closure": None}
    return {"class_name": "__lambda__", "config": {"value": list(whole.values()), **whole}}


def rewritten(honest: Path, name: str, edit: Callable[[Config], None]) -> Path:
    """The honest model with another description."""
    made = honest.with_name(name)
    with zipfile.ZipFile(honest) as old, zipfile.ZipFile(made, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member == "config.json":
                config = json.loads(content)
                edit(config)
                content = json.dumps(config).encode()
            new.writestr(member, content)
    return made


def last(config: Config) -> Config:
    """The last layer's description."""
    layer: Config = config["config"]["layers"][-1]
    return layer


def layer(kind: str, **config: Any) -> Callable[[Config], None]:
    described = {"module": "keras.layers", "class_name": kind, "registered_name": None}
    return lambda whole: last(whole).update(described, config={"name": "last", **config})


def function(module: str, name: str) -> Callable[[Config], None]:
    """An activation that is some function of some module."""
    named = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    return lambda whole: last(whole)["config"].update(activation=named)


def attacks(mark: Path) -> dict[str, tuple[Callable[[Config], None], str]]:
    bare = {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "sneaky", "function": code(mark)}}
    inner = {"class_name": "Functional", "config": {"layers": [bare], "input_layers": [], "output_layers": []}}
    return {
        "a Lambda": (layer("Lambda", function=code(mark)), "'last' is a Lambda"),
        "a Lambda in a layer": (layer("TimeDistributed", layer=bare), "'sneaky' is a Lambda"),
        "a Lambda in a model in a layer": (layer("TimeDistributed", layer=inner), "'sneaky' is a Lambda"),
        "a Lambda by another module": (
            lambda whole: last(whole).update(bare, module="keras.src.layers.core.lambda_layer"),
            "'sneaky' is a Lambda",
        ),
        "code as an activation": (lambda whole: last(whole)["config"].update(activation=code(mark)), "carries code"),
        "code as an initializer": (
            lambda whole: last(whole)["config"].update(kernel_initializer=code(mark)),
            "carries code",
        ),
        "a program": (
            lambda whole: last(whole).update(
                module="subprocess", class_name="Popen", registered_name="Popen", config={"args": ["touch", str(mark)]}
            ),
            "cannot be loaded",
        ),
        "a function of os": (function("os", "system"), "cannot be loaded"),
        "exec": (function("builtins", "exec"), "cannot be loaded"),
        "a download": (function("keras.utils", "get_file"), "cannot be loaded"),
        "the switch of the safe mode": (function("keras.config", "enable_unsafe_deserialization"), "cannot be loaded"),
        "another SavedModel": (layer("TFSMLayer", filepath=str(mark.parent)), "is a TFSMLayer"),
        "a pickle in a layer": (layer("TorchModuleWrapper", module="x"), "is a TorchModuleWrapper"),
        "a file as a vocabulary": (layer("StringLookup", vocabulary="/etc/passwd"), "cannot be loaded"),
        "a class nobody knows": (layer("Sneaky"), "cannot be loaded"),
    }


NAMES = list(attacks(Path("x")))


@pytest.mark.parametrize("name", NAMES)
def test_a_keras_file_runs_nothing(honest: Path, mark: Path, name: str) -> None:
    edit, says = attacks(mark)[name]
    with pytest.raises(ModelError, match=says):
        load_model(rewritten(honest, "attack.keras", edit))
    assert not mark.exists()


@pytest.mark.parametrize("name", NAMES)
def test_nor_does_an_hdf5_file_where_those_are_allowed(honest: Path, mark: Path, name: str) -> None:
    edit, says = attacks(mark)[name]
    path = honest.with_suffix(".h5")
    keras.models.load_model(honest).save(path)
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        edit(config)
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ModelError, match="taken with --allow-legacy only"):
        load_model(path)
    with pytest.raises(ModelError, match=says):
        load_model(path, allow_legacy=True)
    assert not mark.exists()


def test_the_attack_is_a_real_one(honest: Path, mark: Path) -> None:
    """What is refused above does run where Keras is told to trust the file."""
    path = rewritten(honest, "attack.keras", attacks(mark)["code as an activation"][0])
    keras.saving.load_model(path, compile=False, safe_mode=False)(np.ones((1, 4), np.float32))
    assert mark.exists()


class _Attack:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("suffix", ["pkl", "pt", "pth", "joblib", "npy", "bin", "keras", "h5"])
def test_a_pickle_is_not_read_whatever_it_is_called(tmp_path: Path, mark: Path, suffix: str) -> None:
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(pickle.dumps(_Attack(mark)))
    with pytest.raises(ModelError):
        load_model(path, allow_legacy=True)
    assert not mark.exists()
    pickle.loads(path.read_bytes())  # noqa: S301 - to see that the attack is a real one
    assert mark.exists()


def test_an_archive_that_unpacks_to_gigabytes_is_refused_unread(honest: Path) -> None:
    bomb = honest.with_name("bomb.keras")
    for name, says in (("config.json", "its description has"), ("model.weights.h5", "unpacks to")):
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            if name != "config.json":
                archive.writestr("config.json", b"{}")
            with archive.open(name, "w") as file:
                for _ in range(65):
                    file.write(bytes(1 << 20))
        with pytest.raises(ModelError, match=says):
            load_model(bomb)


def test_an_archive_that_describes_itself_twice_is_refused(honest: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(honest, "a") as archive:
        archive.writestr("config.json", b"{}")
    with pytest.raises(ModelError, match="occurs twice"):
        load_model(honest)


def test_weights_do_not_reach_into_other_files(honest: Path, tmp_path: Path) -> None:
    """HDF5 can say that its numbers lie in another file; where this machine has it, they would end up in the bundle."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["numbers"] = np.full((4, 3), 42.0, np.float32)
    with zipfile.ZipFile(honest) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = tmp_path / "weights.h5"
    weights.write_bytes(members["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        names: list[str] = []
        file.visit(names.append)
        first = next(name for name in names if name.endswith("vars/0") and file[name].shape == (4, 3))
        del file[first]
        file[first] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "numbers")
    path = tmp_path / "attack.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in copy.copy(members | {"model.weights.h5": weights.read_bytes()}).items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(path)
