"""A bundle's `stage.json`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from splitway.bundle import MANIFEST, load_bundle, read_manifest
from splitway.errors import BundleError
from splitway.manifest import Difference, Manifest, Proof, describe
from tests.bundles import make_bundle
from tests.fuzz.target import Target, check_brief, everywhere


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="splitway-fuzz-")


def run(data: bytes) -> None:
    folder = Path(_folder().name)
    (folder / MANIFEST).write_bytes(data)
    try:
        manifest = read_manifest(folder)
    except BundleError as error:
        check_brief(error)
        return
    assert Manifest.model_validate_json(manifest.to_json()).to_json() == manifest.to_json()
    describe(manifest)
    with suppress(BundleError):
        load_bundle(folder)


_DIFFERENCE = Difference(max_abs=1e-7, max_ulp=3, top1_equal=True, ulp_histogram={"0": 10, "2-3": 1})
_PROOF = Proof(
    engine="litert",
    inputs=8,
    batch_sizes=(1, 8),
    tolerance=1e-4,
    against_uncut=_DIFFERENCE,
    against_same_engine=_DIFFERENCE,
)


def seeds() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        made = [
            make_bundle(models, "feature_extractor", 1, "extractor", "a"),
            make_bundle(models, "body_1", 1, "body", "a", "b"),
            make_bundle(models, "classifier", 1, "head", "b"),
        ]
        for bundle in made:
            manifest = read_manifest(bundle)
            yield manifest.model_dump_json().encode()
            yield manifest.model_dump_json(exclude_defaults=True).encode()
            yield manifest.model_copy(update={"proof": _PROOF}).model_dump_json().encode()


_FIELDS = (*Manifest.model_fields, "against_uncut", "max_abs", "ulp_histogram", "path", "sha256", "size", "crop")
TARGET = Target(run, seeds, (*_FIELDS, "../", "NaN", "Infinity", "1e999", "null"), max_bytes=8192, json_at=everywhere)
