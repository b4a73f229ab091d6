from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from splitway.bundle import find_bundle, load_bundle, read_manifest, staged
from splitway.errors import BundleError


@pytest.fixture
def head(models: Path, tmp_path: Path) -> Path:
    """A copy of the default head that may be damaged."""
    return Path(shutil.copytree(models / "classifier" / "1", tmp_path / "classifier" / "1"))


def _flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_whole_bundle_loads(head: Path) -> None:
    bundle = load_bundle(head, role="head")
    assert bundle.labels[285] == "Egyptian cat"
    assert len(set(bundle.labels)) == 1000


@pytest.mark.parametrize("name", ["model.tflite", "saved_model/saved_model.pb", "labels.txt"])
def test_one_flipped_byte_is_found_and_named(head: Path, name: str) -> None:
    _flip_byte(head / name)
    with pytest.raises(BundleError, match=f"{name} is corrupted"):
        load_bundle(head, role="head")


def test_a_missing_and_a_shortened_file_are_named(head: Path) -> None:
    (head / "model.tflite").write_bytes(b"short")
    with pytest.raises(BundleError, match=r"model\.tflite has 5 bytes, its manifest says \d+"):
        load_bundle(head, role="head")
    (head / "model.tflite").unlink()
    with pytest.raises(BundleError, match=r"model\.tflite is missing"):
        load_bundle(head, role="head")


def test_a_manifest_cannot_reach_outside_its_bundle(head: Path) -> None:
    manifest = json.loads((head / "stage.json").read_text())
    manifest["engine_files"][0]["path"] = "../../secret"
    (head / "stage.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="outside the bundle"):
        load_bundle(head, role="head")


EDITS: dict[str, Callable[[dict[str, object]], object]] = {
    "feature_space": lambda m: m.update(feature_space="fs:1"),
    "engine_files": lambda m: m.pop("engine_files"),
    "surprise": lambda m: m.update(surprise=1),
}


@pytest.mark.parametrize("field", EDITS)
def test_a_wrong_manifest_names_the_field(head: Path, field: str) -> None:
    manifest = json.loads((head / "stage.json").read_text())
    EDITS[field](manifest)
    (head / "stage.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=field):
        read_manifest(head)


def test_a_bundle_of_the_other_role_is_refused(head: Path) -> None:
    with pytest.raises(BundleError, match="role head, where extractor is needed"):
        load_bundle(head, role="extractor")


def test_the_highest_version_is_found_by_number_not_by_letter(tmp_path: Path) -> None:
    for version in ("2", "10", "9", ".hidden", "x"):
        (tmp_path / "classifier" / version).mkdir(parents=True)
    assert find_bundle(tmp_path, "classifier").name == "10"
    assert find_bundle(tmp_path, "classifier", "9").name == "9"
    with pytest.raises(BundleError, match="splitway build"):
        find_bundle(tmp_path, "classifier", "3")
    with pytest.raises(BundleError, match="no bundle at"):
        find_bundle(tmp_path, "feature_extractor")


def test_a_failed_write_leaves_the_old_version_and_nothing_half_made(tmp_path: Path) -> None:
    old, new = tmp_path / "a" / "1", tmp_path / "b" / "1"
    old.mkdir(parents=True)
    (old / "file").write_text("old")

    def fail_half_way() -> None:
        with staged(old, new) as (a, _):
            (a / "file").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert (old / "file").read_text() == "old"
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["file"]
    assert not new.exists()


def test_a_finished_write_replaces_the_old_version(tmp_path: Path) -> None:
    target = tmp_path / "a" / "1"
    for text in ("old", "new"):
        with staged(target) as (folder,):
            (folder / "file").write_text(text)
    assert (target / "file").read_text() == "new"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["1"]


def test_a_swap_that_fails_half_way_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = [tmp_path / name / "1" for name in "ab"]
    with staged(*targets) as folders:
        for folder in folders:
            (folder / "file").write_text("old")
    rename = Path.rename

    def fail_on_the_last(self: Path, target: Path) -> Path:
        if target == targets[1] and (self / "file").read_text() == "new":
            raise OSError("disk full")
        return rename(self, target)

    def replace_both() -> None:
        with staged(*targets) as folders:
            for folder in folders:
                (folder / "file").write_text("new")

    monkeypatch.setattr(Path, "rename", fail_on_the_last)
    with pytest.raises(OSError, match="disk full"):
        replace_both()
    assert [(target / "file").read_text() for target in targets] == ["old", "old"]
    assert [p.name for p in sorted(tmp_path.glob("*/*"))] == ["1", "1"]
