"""Every bundle of a folder is checked, with a line for each, and whatever is wrong ends the command with 1."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from splitway.api.source import SourceOptions
from splitway.bundle import MANIFEST, SIGNATURES, read_manifest, write_manifest
from splitway.cli.main import app
from splitway.cli.models.build import verify
from splitway.cli.models.bundles import check_every, sign_again_if_changed
from splitway.errors import BundleError
from tests.bundles import make_bundle
from tests.tiny_bundles import damage, write_bundle

Command = Callable[..., Result]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    models = tmp_path / "models"
    make_bundle(models, "feature_extractor", 1, "extractor", "a")
    for version in (1, 2):
        make_bundle(models, "classifier", version, "head", "a")
    (models / "source" / "model-1").mkdir(parents=True)
    return models


@pytest.fixture
def private(tmp_path: Path) -> Path:
    return tmp_path / "release.pem"


@pytest.fixture
def public(tmp_path: Path) -> Path:
    return tmp_path / "release.pub.pem"


@pytest.fixture
def run(models: Path) -> Command:
    """A command on the folder, and its exit code checked."""

    def command(name: str, *arguments: str | Path, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, [name, str(models), *map(str, arguments)])
        assert result.exit_code == exit_code, result.output
        assert "Traceback" not in result.output
        return result

    return command


def signed(models: Path) -> set[str]:
    return {path.parent.relative_to(models).as_posix() for path in models.glob(f"*/*/{SIGNATURES}")}


def test_every_bundle_is_signed_and_checked(run: Command, models: Path, private: Path, public: Path) -> None:
    made = run("sign", "--key", private, "--new-key")
    assert signed(models) == {"feature_extractor/1", "classifier/1", "classifier/2"}
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert "keep it off the machines that serve" in made.stderr
    lines = run("verify", "--key", public).stdout.splitlines()
    assert len(lines) == 3
    assert all("signed by ed25519:" in line and "1 files as signed" in line for line in lines)
    assert len(run("verify", "--key", public, "--version", "2").stdout.splitlines()) == 1
    assert "no bundle of version 7" in run("verify", "--key", public, "--version", "7", exit_code=1).stderr


def test_chosen_bundles_are_signed_and_the_others_found_out(
    run: Command, models: Path, private: Path, public: Path
) -> None:
    run("sign", "--key", private, "--new-key", "--bundle", "classifier", "--bundle", "feature_extractor/1")
    assert signed(models) == {"feature_extractor/1", "classifier/2"}
    result = run("verify", "--key", public, exit_code=1)
    assert "classifier/1  WRONG: " in result.stdout
    assert "it is not signed" in result.stdout
    assert f"{models / 'classifier' / '1'} is wrong, the first of 1 among 3 bundles" in result.stderr
    assert "no bundle at" in run("sign", "--key", private, "--bundle", "classifier/9", exit_code=1).stderr


def test_checking_signatures_needs_no_tensorflow(
    run: Command, private: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sign", "--key", private, "--new-key")
    for name in ("tensorflow", "keras", "ai_edge_litert"):
        monkeypatch.setitem(sys.modules, name, None)
    run("verify", "--key", public)
    assert "--allow-legacy has no effect" in run("verify", "--key", public, "--allow-legacy", exit_code=1).stderr


def test_nothing_is_signed_where_something_is_wrong(run: Command, models: Path, private: Path, public: Path) -> None:
    file = models / "classifier" / "2" / "model.tflite"
    content = file.read_bytes()
    file.write_bytes(bytes(len(content)))
    assert "is corrupted" in run("sign", "--key", private, "--new-key", exit_code=1).stderr
    file.write_bytes(content)
    manifest = read_manifest(models / "classifier" / "1")
    write_manifest(models / "classifier" / "1", manifest.model_copy(update={"version": "8"}))
    assert "holds version 8" in run("sign", "--key", private, "--new-key", exit_code=1).stderr
    assert signed(models) == set()
    assert not private.exists()
    assert not public.exists()


def test_keys_are_not_made_over_others_nor_among_the_bundles(run: Command, models: Path, private: Path) -> None:
    run("sign", "--key", private, "--new-key")
    again = run("sign", "--key", private, "--new-key", exit_code=1).stderr
    assert f"{private} is there already: a key is never overwritten; to sign with it, leave --new-key out" in again
    assert "among the bundles" in run("sign", "--key", models / "key.pem", "--new-key", exit_code=1).stderr
    assert "add --new-key, which makes it" in run("sign", "--key", models / "none.pem", exit_code=1).stderr


@pytest.mark.parametrize(("content", "says"), [(b"classifier 2", "its SHA-256"), (b"", "has 0 bytes, its manifest")])
def test_a_file_that_was_changed_is_not_what_was_signed(
    content: bytes, says: str, run: Command, models: Path, private: Path, public: Path
) -> None:
    run("sign", "--key", private, "--new-key")
    (models / "classifier" / "1" / "model.tflite").write_bytes(content)
    said = run("verify", "--key", public, exit_code=1).stdout
    assert says in said
    assert "restore the file, or build" in said


def test_damaged_signatures_are_replaced_and_said_to_be(
    run: Command, models: Path, private: Path, public: Path
) -> None:
    run("sign", "--key", private, "--new-key")
    (models / "classifier" / "1" / SIGNATURES).write_text("damaged")
    run("verify", "--key", public, exit_code=1)
    assert f"classifier/1/{SIGNATURES} is replaced" in run("sign", "--key", private).stderr
    run("verify", "--key", public)


def test_a_second_key_signs_beside_the_first(run: Command, tmp_path: Path, private: Path, public: Path) -> None:
    run("sign", "--key", private, "--new-key")
    run("sign", "--key", tmp_path / "new.pem", "--new-key")
    for each in (public, tmp_path / "new.pub.pem"):
        run("verify", "--key", each)


def test_a_bundle_that_is_proved_again_must_be_signed_again(
    run: Command, models: Path, private: Path, public: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `splitway verify` does to a manifest: its signature stays, fits no more, and somebody is told."""
    run("sign", "--key", private, "--new-key")
    folder = models / "classifier" / "1"
    with sign_again_if_changed(models):
        write_manifest(folder, read_manifest(folder))
    assert capsys.readouterr().err == ""
    with sign_again_if_changed(models):
        write_manifest(folder, read_manifest(folder).model_copy(update={"created": "2027-01-01T00:00:00+00:00"}))
    said = capsys.readouterr().err
    assert f"{folder} was signed, and its manifest is another one now: sign it again" in said
    assert said.count("was signed") == 1
    assert "does not match its manifest" in run("verify", "--key", public, exit_code=1).stdout
    run("sign", "--key", private)
    run("verify", "--key", public)
    assert (folder / MANIFEST).exists()


def test_an_empty_folder_is_one_line(tmp_path: Path, private: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, says in (("empty", "there is no bundle in"), ("nowhere", "there is no folder")):
        result = CliRunner().invoke(app, ["sign", str(tmp_path / folder), "--key", str(private), "--new-key"])
        assert result.exit_code == 1
        assert says in result.stderr
    assert not private.exists()


@pytest.fixture
def five(tmp_path: Path) -> Path:
    """An extractor, a body, two versions of the default head, and another head."""
    write_bundle(tmp_path, "feature_extractor", 1, "extractor")
    write_bundle(tmp_path, "body_1", 1, "body")
    for name, version in (("classifier", 1), ("classifier", 2), ("pets", 1)):
        write_bundle(tmp_path, name, version)
    return tmp_path


def test_each_version_of_each_bundle_has_a_line(five: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_every(five, None)
    every = ("body_1/1", "classifier/2", "classifier/1", "feature_extractor/1", "pets/1")
    assert capsys.readouterr().out.splitlines() == [f"{five}/{name}  1 files as its manifest says" for name in every]


@pytest.mark.parametrize("name", ["pets/1", "body_1/1", "classifier/1"])
def test_verify_names_any_that_is_damaged_before_it_proves(
    five: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(five / name)
    with pytest.raises(BundleError, match=rf"{name} is wrong, the first of 1 among 5 bundles"):
        verify(five, None, None, SourceOptions(), say=lambda _: None)
    said = [line for line in capsys.readouterr().out.splitlines() if "WRONG" in line]
    assert [line.startswith(f"{five}/{name}  WRONG: {five}/{name}/model.tflite is corrupted") for line in said] == [
        True
    ]


def test_a_version_that_is_named_is_checked_alone(five: Path) -> None:
    damage(five / "pets" / "1")
    check_every(five, "2")
    with pytest.raises(BundleError, match="has no bundle of version 9, only of 1, 2"):
        check_every(five, "9")
