from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splitway.bundle import Bundle, find_bundle, load_bundle, read_manifest, staged, write_signatures
from splitway.errors import BundleError
from splitway.security.signing import make_key_pair
from tests.bundles import make_bundle


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


def rewrite(head: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((head / "stage.json").read_text())
    edit(manifest)
    (head / "stage.json").write_text(json.dumps(manifest))


PATHS = ("/etc/passwd", "../../secret", "..", "", ".", "saved_model//x", "a\\b", "a\u0000b", "a\nb", "x" * 300)


@pytest.mark.parametrize("path", PATHS, ids=map(repr, PATHS))
def test_no_file_is_named_that_might_lie_outside(head: Path, path: str) -> None:
    rewrite(head, lambda m: m["engine_files"][0].update(path=path))
    with pytest.raises(BundleError, match=r"engine_files\.0\.path: .* outside the bundle"):
        load_bundle(head)
    rewrite(head, lambda m: m["engine_files"][0].update(path="model.tflite") or m.update(labels=path))
    with pytest.raises(BundleError, match=r"labels: .* outside the bundle"):
        load_bundle(head)


ABSURD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a file twice": (lambda m: m["engine_files"].append(m["engine_files"][0]), "named twice"),
    "a tensor twice": (lambda m: m["inputs"].append(m["inputs"][0]), "named twice"),
    "a size of exabytes": (lambda m: m["engine_files"][0].update(size=10**18), r"engine_files\.0\.size"),
    "a size of 5,000 digits": (lambda m: m["engine_files"][0].update(size=10**4000), "size"),
    "a size below 0": (lambda m: m["engine_files"][0].update(size=-1), r"engine_files\.0\.size"),
    "2,000 files": (lambda m: m.update(engine_files=m["engine_files"] * 500), "engine_files"),
    "a tensor of terabytes": (lambda m: m["inputs"][0].update(shape=[-1, 10**6, 10**6]), "elements"),
    "a tensor without rows": (lambda m: m["inputs"][0].update(shape=[]), "shape"),
    "a tensor of any width": (lambda m: m["inputs"][0].update(shape=[-1, -1]), "shape"),
    "an unknown type": (lambda m: m["inputs"][0].update(datatype="FP128"), "no such type of tensor"),
    "labels without a hash": (lambda m: m.pop("labels_sha256"), "labels_sha256"),
    "a name that leads away": (lambda m: m.update(name="../classifier"), "name"),
}


@pytest.mark.parametrize("name", ABSURD)
def test_a_manifest_that_asks_for_the_absurd_is_one_line(head: Path, name: str) -> None:
    edit, says = ABSURD[name]
    rewrite(head, edit)
    with pytest.raises(BundleError, match=says) as caught:
        load_bundle(head)
    assert len(caught.value.detail) < 500
    assert caught.value.detail.isprintable()


GARBAGE = {
    "nothing": b"",
    "bytes": bytes(range(256)) * 10,
    "a list": b"[]",
    "a million brackets": b"[" * 1_000_000,
    "half a manifest": b'{"name": "classifier", "engine_files": [',
    "not a number": b'{"cut": {"layer": "x", "bytes_per_row": NaN}}',
    "too much": b" " * (1024 * 1024 + 1),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_in_place_of_a_manifest_is_one_line(head: Path, name: str) -> None:
    (head / "stage.json").write_bytes(GARBAGE[name])
    with pytest.raises(BundleError, match=r"stage\.json"):
        load_bundle(head)


@pytest.mark.parametrize("name", ["stage.json", "model.tflite", "labels.txt", "saved_model/saved_model.pb"])
def test_links_and_pipes_in_a_bundle_are_refused_at_once(head: Path, name: str) -> None:
    """Whoever opens a named pipe waits for its other end, and whoever follows a link reads what its maker chose."""
    file = head / name
    (head.parent / "same").write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(head.parent / "same")
    with pytest.raises(BundleError, match="links are not followed"):
        load_bundle(head)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(BundleError, match="no regular file"):
        load_bundle(head)


@pytest.mark.parametrize("extra", ["variables/variables.data-00001-of-00002", "saved_model.pbtxt", "assets/x", "link"])
def test_what_tensorflow_might_read_unlisted_is_refused(head: Path, extra: str) -> None:
    path = head / "saved_model" / extra
    path.parent.mkdir(exist_ok=True)
    if extra == "link":
        path.symlink_to("/etc")
    else:
        path.write_text("x")
    with pytest.raises(BundleError, match=f"its manifest does not name: saved_model/{extra}"):
        load_bundle(head)


def test_what_an_engine_is_given_is_what_was_hashed(head: Path) -> None:
    """A file that is changed after the check, before it is used, is not used."""
    bundle = load_bundle(head)
    before = bundle.content("model.tflite")
    _flip_byte(head / "model.tflite")
    assert bundle.content("model.tflite") is before
    later = Bundle(bundle.folder, bundle.manifest, bundle.labels)
    with pytest.raises(BundleError, match="is corrupted"):
        later.content("model.tflite")
    (head / "model.tflite").write_bytes(before + b"x")
    with pytest.raises(BundleError, match="are allowed"):
        later.content("model.tflite")


def test_labels_that_are_no_text_are_one_line(head: Path) -> None:
    (head / "labels.txt").write_bytes(b"\xff" * 100)
    rewrite(head, lambda m: m.update(labels_sha256=hashlib.sha256(b"\xff" * 100).hexdigest()))
    with pytest.raises(BundleError, match="not text in UTF-8"):
        load_bundle(head)


def test_the_signature_is_checked_before_the_manifest_is_parsed(head: Path, tmp_path: Path) -> None:
    key = make_key_pair(tmp_path / "key.pem")
    with pytest.raises(BundleError, match="is not signed"):
        load_bundle(head, keys=key.public)
    write_signatures(head, key.sign((head / "stage.json").read_bytes()).to_json())
    assert load_bundle(head, keys=key.public).labels
    (head / "stage.json").write_bytes(GARBAGE["bytes"])
    with pytest.raises(BundleError, match="does not match its manifest"):
        load_bundle(head, keys=key.public)
    with pytest.raises(BundleError, match="is not a manifest"):
        load_bundle(head)


def test_a_signature_is_no_link_and_no_pipe(head: Path, tmp_path: Path) -> None:
    key = make_key_pair(tmp_path / "key.pem")
    (tmp_path / "sig").write_text(key.sign((head / "stage.json").read_bytes()).to_json())
    (head / "stage.json.sig").symlink_to(tmp_path / "sig")
    with pytest.raises(BundleError, match="links are not followed"):
        load_bundle(head, keys=key.public)
    (head / "stage.json.sig").unlink()
    os.mkfifo(head / "stage.json.sig")
    with pytest.raises(BundleError, match="no regular file"):
        load_bundle(head, keys=key.public)


EDITS: dict[str, Callable[[dict[str, object]], object]] = {
    "feature_space": lambda m: m.update(feature_space="fs:1"),
    "engine_files": lambda m: m.pop("engine_files"),
}


@pytest.mark.parametrize("field", EDITS)
def test_a_wrong_manifest_names_the_field(head: Path, field: str) -> None:
    manifest = json.loads((head / "stage.json").read_text())
    EDITS[field](manifest)
    (head / "stage.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=field):
        read_manifest(head)


def test_a_bundle_of_the_other_role_is_refused(head: Path) -> None:
    with pytest.raises(BundleError, match="role head; role extractor is required"):
        load_bundle(head, role="extractor")


def test_the_highest_version_is_found_by_number_not_by_letter(tmp_path: Path) -> None:
    for version in ("2", "10", "9", ".hidden", "x"):
        (tmp_path / "classifier" / version).mkdir(parents=True)
    assert find_bundle(tmp_path, "classifier").name == "10"
    assert find_bundle(tmp_path, "classifier", "9").name == "9"
    with pytest.raises(BundleError, match=r"there is 10, 9, 2$"):
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


def test_a_version_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    for version in (1, 2):
        make_bundle(tmp_path, "classifier", version, "head", "a")
    with pytest.raises(BundleError, match=r"no bundle at .*classifier/9; there is 2, 1$"):
        find_bundle(tmp_path, "classifier", "9")
