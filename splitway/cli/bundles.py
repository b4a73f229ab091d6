"""The offline work behind `splitway build`, `split` and `verify`: make bundles, prove them, keep both or neither."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from splitway.bundle import (
    PIXELS,
    PROBABILITIES,
    Bundle,
    Manifest,
    Preprocessing,
    Proof,
    SourceModel,
    engine_file_entry,
    find_bundle,
    load_bundle,
    read_manifest,
    sha256_file,
    staged,
    write_manifest,
)
from splitway.errors import BundleError
from splitway.preprocessing import PictureDecoder, PictureLimits, to_model_input
from splitway.runtime.inprocess import InProcessStage
from splitway.split.cut import cut_model, load_model
from splitway.split.export import LITERT_FILE, convert_to_litert
from splitway.split.pack import EXTRACTOR, HEAD, SOURCE, SOURCE_FILE, PackPlan, pack
from splitway.split.prove import Classify, Pixels, proof_inputs, prove, uncut_in_keras

Say = Callable[[str], None]
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class SplitJob:
    """What to cut, where, and what to make of it."""

    model: keras.Model
    model_name: str
    at: str
    out: Path
    preprocessing: Preprocessing
    labels: list[str] | None
    samples: Path | None
    version: str
    force: bool


def split(job: SplitJob, say: Say) -> tuple[Manifest, Manifest]:
    """Cut, pack and prove; the bundles take their places only if the proof holds.

    Raises:
        BundleError: the version is there already and `force` is not set.
        ModelError, ProofError: the model cannot be cut, or the pieces differ from it.
    """
    targets = [job.out / stage / job.version for stage in (EXTRACTOR, HEAD)]
    for target in targets:
        if target.exists() and not job.force:
            raise BundleError(f"{target} is there already; use --force to replace it, or --version for another")
    say(f"cutting {job.model_name} at {job.at}")
    cut = cut_model(job.model, job.at)
    source_folder = job.out / SOURCE / f"{job.model_name}-{job.version}"
    try:
        with staged(*targets, source_folder) as (extractor, head, kept):
            source = _keep_source(job, kept, source_folder)
            pack(cut, PackPlan(job.preprocessing, job.labels, source, job.version), extractor, head, say)
            return _prove_folders(job.model, extractor, head, job.samples, say)
    finally:
        _remove_empty(job.out)


def _keep_source(job: SplitJob, folder: Path, place: Path) -> SourceModel:
    """Keep the uncut model beside the bundles: `splitway verify` needs it."""
    file = folder / SOURCE_FILE
    job.model.save(file)
    path = (place / SOURCE_FILE).relative_to(job.out).as_posix()
    return SourceModel(name=job.model_name, sha256=sha256_file(file), path=path)


def _remove_empty(out: Path) -> None:
    for folder in (out / SOURCE, out / EXTRACTOR, out / HEAD, out):
        with contextlib.suppress(OSError):  # not empty, or never made
            folder.rmdir()


def verify(models: Path, samples: Path | None, version: str | None, say: Say) -> tuple[Manifest, Manifest]:
    """Prove bundles again and write the proof into their manifests.

    Raises:
        BundleError: a bundle or the uncut model is missing or damaged, or the two are of different feature spaces.
        ProofError: the pieces differ from the uncut model; the manifests stay as they were.
    """
    extractor, head = (find_bundle(models, stage, version) for stage in (EXTRACTOR, HEAD))
    source = read_manifest(extractor).source_model
    path = models / source.path
    if not path.is_file():
        raise BundleError(f"the uncut model {path} is missing; split the model again")
    if sha256_file(path) != source.sha256:
        raise BundleError(f"{path} is corrupted: its SHA-256 is not the one in the manifest; split the model again")
    say(f"loading the uncut model {source.name}")
    return _prove_folders(load_model(path), extractor, head, samples, say)


def _prove_folders(
    model: keras.Model, extractor: Path, head: Path, samples: Path | None, say: Say
) -> tuple[Manifest, Manifest]:
    bundles = load_bundle(extractor, role="extractor"), load_bundle(head, role="head")
    spaces = [bundle.manifest.feature_space for bundle in bundles]
    if spaces[0] != spaces[1]:
        raise BundleError(f"{extractor} gives features of {spaces[0]}, but {head} was trained on {spaces[1]}")
    proof = _prove(model, bundles[0], bundles[1], samples, say)
    for bundle in bundles:
        write_manifest(bundle.folder, bundle.manifest.model_copy(update={"proof": proof}))
    return read_manifest(extractor), read_manifest(head)


def _prove(model: keras.Model, extractor: Bundle, head: Bundle, samples: Path | None, say: Say) -> Proof:
    preprocessing = extractor.manifest.preprocessing
    if preprocessing is None:
        raise BundleError(f"{extractor.folder}: an extractor's manifest must say how pictures are preprocessed")
    engine = "litert"
    backbone, top = InProcessStage(extractor, engine), InProcessStage(head, engine)

    def served(pixels: Pixels) -> np.ndarray:
        return top(backbone(to_model_input(pixels, preprocessing)))

    say("converting the uncut model, to compare within one engine")
    with tempfile.TemporaryDirectory(prefix="splitway-") as folder:
        same_engine = _uncut_in_engine(model, extractor, head, Path(folder), preprocessing)
        inputs = proof_inputs(_sample_pixels(samples, preprocessing), preprocessing)
        say(f"proving the cut on {len(inputs)} inputs")
        return prove(served, uncut_in_keras(model, preprocessing), same_engine, inputs, engine)


def _uncut_in_engine(
    model: keras.Model, extractor: Bundle, head: Bundle, folder: Path, preprocessing: Preprocessing
) -> Classify:
    """The uncut model as a bundle of its own, in the engine that serves."""
    file = folder / LITERT_FILE
    file.write_bytes(convert_to_litert(model, PIXELS, PROBABILITIES))
    update = {"outputs": head.manifest.outputs, "engine_files": (engine_file_entry(folder, file, "litert"),)}
    uncut = InProcessStage(Bundle(folder, extractor.manifest.model_copy(update=update), ()), "litert")
    return lambda pixels: uncut(to_model_input(pixels, preprocessing))


def _sample_pixels(samples: Path | None, preprocessing: Preprocessing) -> list[Pixels]:
    if samples is None:
        return []
    if not samples.is_dir():
        raise BundleError(f"there is no folder of samples at {samples}")
    files = sorted(path for path in samples.iterdir() if path.suffix.lower() in PICTURES)
    decode = PictureDecoder(preprocessing, PictureLimits())
    return [decode(path.read_bytes()) for path in files]
