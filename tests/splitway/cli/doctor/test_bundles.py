"""The folder of bundles, right and wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from splitway.bundle import read_manifest_bytes, write_signatures
from splitway.cli.doctor.bundles import chain, folder, hash_all, read_file, read_trust, releases
from splitway.cli.doctor.finding import Finding
from splitway.releases import Release, Releases
from splitway.security.signing import make_key_pair
from tests.bundles import SPACES, make_bundle


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An extractor and two heads of its space."""
    make_bundle(tmp_path, "feature_extractor", 1, "extractor", "a")
    make_bundle(tmp_path, "classifier", 1, "head", "a")
    make_bundle(tmp_path, "pets", 1, "head", "a")
    return tmp_path


def _levels(found: list[Finding]) -> list[str]:
    return [result.level for result in found]


def _release(space: str = "a", extractor: str = "1", head: str = "1") -> Release:
    return Release(extractor=extractor, heads={"classifier": head}, feature_space=SPACES[space], created="now")


def _current(release: Release) -> Releases:
    return Releases(releases={"autumn": release}, current="autumn")


def test_a_folder_with_bundles_is_looked_into(models: Path) -> None:
    assert folder(models, may_be_elsewhere=False) is None


@pytest.mark.parametrize("name", [".", "nowhere"], ids=["empty", "missing"])
def test_a_folder_without_bundles_is_a_problem_unless_a_pipeline_runs(name: str, tmp_path: Path) -> None:
    alone, beside = (folder(tmp_path / name, may_be_elsewhere=running) for running in (False, True))
    assert alone is not None
    assert beside is not None
    assert (alone.level, beside.level) == ("problem", "warning")
    assert "splitway build" in alone.do


def test_whole_bundles_are_counted(models: Path) -> None:
    sound, found = hash_all(models)
    assert len(sound) == 3
    assert _levels(found) == ["ok"]


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("model.tflite", b"pets 2", "is corrupted: its SHA-256"),
        ("model.tflite", b"longer than it was", "has 18 bytes, its manifest says 6"),
        ("stage.json", b"{", "is not a manifest"),
    ],
    ids=["flipped", "longer", "manifest"],
)
def test_a_damaged_bundle_is_named_with_what_to_do(file: str, content: bytes, says: str, models: Path) -> None:
    (models / "pets" / "1" / file).write_bytes(content)
    _, (wrong, right) = hash_all(models)
    assert (wrong.level, right.level) == ("problem", "ok")
    assert says in wrong.says
    assert str(models / "pets" / "1") in wrong.says + wrong.do


def test_where_a_key_is_trusted_bundles_must_be_signed_by_it(models: Path) -> None:
    ours, theirs = (make_key_pair(models / name) for name in ("ours.pem", "theirs.pem"))
    for name, key in (("feature_extractor", ours), ("classifier", theirs)):
        bundle = models / name / "1"
        write_signatures(bundle, key.sign(read_manifest_bytes(bundle)).to_json())
    trusted, wrong = read_trust({"SPLITWAY_BUNDLE_KEY": str(models / "ours.pub.pem")})
    assert wrong is None
    sound, (forged, unsigned, right) = hash_all(models, trusted)
    assert sound == {models / "feature_extractor" / "1"}
    assert (forged.level, unsigned.level, right.level) == ("problem", "problem", "ok")
    assert f"{models / 'classifier' / '1'}: it is signed by none of the trusted keys" in forged.says
    assert unsigned.says == f"{models / 'pets' / '1'}: it is not signed"
    assert unsigned.do.startswith(f"if it is yours, splitway sign {models} --key PRIVATE.pem --bundle pets/1;")
    assert right.says.endswith("and a key in SPLITWAY_BUNDLE_KEY has signed it")


@pytest.mark.parametrize("content", [None, "no PEM", "-----BEGIN PRIVATE KEY-----"])
def test_a_bundle_key_that_is_none_is_a_problem(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_text(content)
    trusted, wrong = read_trust({"SPLITWAY_BUNDLE_KEY": str(file)})
    assert trusted is None
    assert wrong is not None
    assert wrong.level == "problem"
    assert str(file) in wrong.says
    assert read_trust({}) == (None, None)


def test_a_missing_file_is_named(models: Path) -> None:
    (models / "pets" / "1" / "model.tflite").unlink()
    assert "model.tflite is missing" in hash_all(models)[1][0].says


def test_a_chain_from_the_extractor_to_every_head_is_right(models: Path) -> None:
    (result,) = chain(models, None)
    assert result.level == "ok"
    assert "classifier 1, pets 1" in result.says


def test_a_newest_head_of_another_space_is_a_problem_though_an_older_one_fits(models: Path) -> None:
    make_bundle(models, "pets", 2, "head", "b")
    right, wrong = chain(models, None)
    assert (right.level, wrong.level) == ("ok", "problem")
    assert f"{models / 'pets' / '2'} takes {SPACES['b']}, and the chain gives {SPACES['a']}" in wrong.says
    assert "train pets again" in wrong.do


def test_a_newest_extractor_that_leads_to_no_head_is_a_problem_unless_a_release_is_current(models: Path) -> None:
    make_bundle(models, "feature_extractor", 2, "extractor", "c")
    assert _levels(chain(models, None)) == ["problem"]
    assert _levels(chain(models, Releases())) == ["problem"]
    assert _levels(chain(models, _current(_release()))) == ["warning"]


def test_heads_without_an_extractor_are_a_problem(tmp_path: Path) -> None:
    make_bundle(tmp_path, "classifier", 1, "head", "a")
    (result,) = chain(tmp_path, None)
    assert result.level == "problem"
    assert "there is no feature_extractor" in result.says


def test_without_releases_all_is_right(models: Path, tmp_path: Path) -> None:
    assert read_file(tmp_path / "releases.json") == (None, None)
    assert _levels(releases(models, None)) == ["ok"]


def test_releases_whose_versions_are_there_are_right(models: Path) -> None:
    (result,) = releases(models, _current(_release()))
    assert result.level == "ok"
    assert "current is autumn" in result.says


@pytest.mark.parametrize(
    ("release", "says"),
    [
        (_release(head="7"), "release autumn names classifier 7, which is not in"),
        (_release(extractor="4"), "release autumn names feature_extractor 4, which is not in"),
        (_release(space="b"), f"is of {SPACES['b']}, and feature_extractor 1 now gives {SPACES['a']}"),
    ],
    ids=["head", "extractor", "space"],
)
def test_a_release_in_use_that_names_what_is_not_there_is_a_problem(release: Release, says: str, models: Path) -> None:
    (result,) = releases(models, _current(release))
    assert result.level == "problem"
    assert says in result.says


def test_a_release_that_nobody_uses_may_name_what_is_gone(models: Path) -> None:
    unused = Releases(releases={"old": _release(head="7"), "autumn": _release()}, current="autumn")
    assert _levels(releases(models, unused)) == ["ok"]


def test_a_broken_releases_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "releases.json").write_text('{"current": "nobody"}')
    held, wrong = read_file(tmp_path / "releases.json")
    assert held is None
    assert wrong is not None
    assert wrong.level == "problem"
    assert "there is no release 'nobody'" in wrong.says


def test_a_bundle_of_another_format_is_not_to_be_made_again(models: Path) -> None:
    file = models / "classifier" / "1" / "stage.json"
    file.write_text('{"format": 2, "stages": []}')
    (found,) = [each for each in hash_all(models)[1] if each.level != "ok"]
    assert "use a newer Splitway" in found.says
    assert found.do == f"run the version of Splitway that made {file.parent}, or remove that folder"


def test_a_bundle_at_another_place_than_its_own_is_a_problem(models: Path) -> None:
    """No stage serves it; a copied folder is enough."""
    shutil.copytree(models / "pets" / "1", models / "pets" / "3")
    found = next(each for each in hash_all(models)[1] if each.level == "problem")
    assert f"{models / 'pets' / '3'} holds version 1 of 'pets'" in found.says
    assert found.do == f"move it to {models / 'pets' / '1'}, or make it for where it is"
