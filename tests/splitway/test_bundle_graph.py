"""Bundles follow each other by their feature spaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitway.bundle_graph import find_chain
from splitway.errors import BundleError
from tests.bundles import make_bundle


def test_bodies_are_ordered_by_what_they_take_and_not_by_their_names(tmp_path: Path) -> None:
    make_bundle(tmp_path, "feature_extractor", 1, "extractor", "a")
    make_bundle(tmp_path, "body_1", 1, "body", "b", "c")
    make_bundle(tmp_path, "body_2", 1, "body", "a", "b")
    make_bundle(tmp_path, "classifier", 1, "head", "c")
    make_bundle(tmp_path, "digits", 1, "head", "c")
    make_bundle(tmp_path, "foreign", 1, "head", "d")
    chain = find_chain(tmp_path)
    assert [body.manifest.name for body in chain.bodies] == ["body_2", "body_1"]
    assert list(chain.heads) == ["classifier", "digits"]


def test_a_version_that_does_not_fit_gives_way_to_one_that_does(tmp_path: Path) -> None:
    make_bundle(tmp_path, "feature_extractor", 1, "extractor", "a")
    make_bundle(tmp_path, "feature_extractor", 2, "extractor", "b")
    make_bundle(tmp_path, "classifier", 1, "head", "a")
    make_bundle(tmp_path, "classifier", 2, "head", "c")
    chain = find_chain(tmp_path)
    assert (chain.extractor.manifest.version, chain.heads["classifier"].manifest.version) == ("1", "1")


def test_a_missing_body_is_named_by_what_is_around_it(tmp_path: Path) -> None:
    make_bundle(tmp_path, "feature_extractor", 1, "extractor", "a")
    make_bundle(tmp_path, "classifier", 1, "head", "b")
    with pytest.raises(BundleError, match=r"nothing takes the fs:a{16} .*classifier/1 takes fs:b{16}"):
        find_chain(tmp_path)


def test_two_bodies_for_one_place_are_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path, "feature_extractor", 1, "extractor", "a")
    make_bundle(tmp_path, "body_1", 1, "body", "a", "b")
    make_bundle(tmp_path, "body_2", 1, "body", "a", "c")
    with pytest.raises(BundleError, match="both take fs:a"):
        find_chain(tmp_path)


def test_bodies_in_a_circle_are_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path, "feature_extractor", 1, "extractor", "a")
    make_bundle(tmp_path, "body_1", 1, "body", "a", "a")
    with pytest.raises(BundleError, match="circle"):
        find_chain(tmp_path)


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="splitway build"):
        find_chain(tmp_path / "none")
    make_bundle(tmp_path, "feature_extractor", 1, "extractor", "a")
    with pytest.raises(BundleError, match=r"no bundle at .*classifier/<version>; make one with: splitway build"):
        find_chain(tmp_path)
