"""`splitway build`, `split` and `verify`, from options to bundles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from splitway.bundle import Manifest, Preprocessing, load_bundle
from splitway.cli import bundles
from splitway.cli.console import ERR, OUT
from splitway.cli.source import load_and_show
from splitway.errors import BundleError, ModelError, SetupError
from splitway.split import default_model, efficientnet_lite
from splitway.split.cuts import best_single, find_cuts
from splitway.split.fetch import cache_folder
from splitway.split.pack import EXTRACTOR, HEAD

Say = Callable[[str], None]


@dataclass(frozen=True)
class SplitOptions:
    """What the user said of a model of theirs."""

    at: str | None
    """The layer to cut after; the best one if not given."""
    out: Path
    labels: Path | None
    pixel_range: str
    crop: float
    resample: str
    samples: Path | None
    version: str


def build(out: Path, samples: Path | None, version: str, *, force: bool, fetch_only: bool, say: Say) -> None:
    """Make the default bundles unless they are there and whole."""
    _check_version(version)
    if not force and not fetch_only and _is_whole(out, version):
        OUT.print(f"{out} has the default bundles, version {version}, already; --force makes them again")
        return
    cache = cache_folder()
    say("fetching weights and labels")
    labels = default_model.load_default_labels(cache)
    model = default_model.load_default_model(cache)
    if fetch_only:
        OUT.print(f"weights and labels are in {cache}")
        return
    job = bundles.SplitJob(
        model=model,
        model_name=efficientnet_lite.NAME,
        at=efficientnet_lite.CUT_LAYER,
        out=out,
        preprocessing=default_model.PREPROCESSING,
        labels=labels,
        samples=samples,
        version=version,
        force=True,
    )
    report(out, *bundles.split(job, say))


def _is_whole(out: Path, version: str) -> bool:
    try:
        extractor = load_bundle(out / EXTRACTOR / version, role="extractor")
        head = load_bundle(out / HEAD / version, role="head")
    except BundleError:
        return False
    return extractor.manifest.feature_space == head.manifest.feature_space


def split(path: Path, options: SplitOptions, *, force: bool, say: Say) -> None:
    """Cut a user's model."""
    _check_version(options.version)
    model = load_and_show(path, say)
    job = bundles.SplitJob(
        model=model,
        model_name=path.stem,
        at=options.at or _best_cut(model, say),
        out=options.out,
        preprocessing=_preprocessing(model.inputs[0].shape, model.inputs[0].dtype, options),
        labels=_read_labels(options.labels),
        samples=options.samples,
        version=options.version,
        force=force,
    )
    report(options.out, *bundles.split(job, say))


def _best_cut(model: Any, say: Say) -> str:
    say("looking for the best cut")
    best = best_single(find_cuts(model))
    if best is None:
        raise ModelError("no layer of this model can be cut as it is; splitway inspect --all says why")
    ERR.print(f"cutting after {best.layer}, the best of its layers; --at chooses another", markup=False)
    return best.layer


def verify(models: Path, samples: Path | None, version: str | None, *, say: Say) -> None:
    """Prove bundles again."""
    report(models, *bundles.verify(models, samples, version, say))


def report(models: Path, extractor: Manifest, head: Manifest) -> None:
    """Say what was made and how well it is proved."""
    proof = extractor.proof
    assert proof is not None
    found, same = proof.against_uncut, proof.against_same_engine
    OUT.print(f"{models}/{extractor.name}/{extractor.version} and {models}/{head.name}/{head.version}", markup=False)
    OUT.print(f"  feature space  {extractor.feature_space}")
    OUT.print(
        f"  cut            after {extractor.cut.layer}, {extractor.cut.bytes_per_row} bytes per row", markup=False
    )
    OUT.print(
        f"  proof          {proof.inputs} inputs in batches of {', '.join(map(str, proof.batch_sizes))}: at most "
        f"{found.max_abs:.2g} from the uncut Keras model ({proof.tolerance:g} allowed), same class first"
    )
    if same is not None:
        OUT.print(
            f"                 at most {same.max_abs:.2g} ({same.max_ulp} ULP) from the uncut model in {proof.engine}"
        )


def _preprocessing(shape: tuple[int | None, ...], dtype: str, options: SplitOptions) -> Preprocessing:
    try:
        low, high = (float(part) for part in options.pixel_range.split(":"))
    except ValueError as error:
        raise SetupError(f"--range must be LOW:HIGH, such as 0:1 or -1:1, not {options.pixel_range!r}") from error
    if dtype == "uint8" and (low, high) != (0.0, 255.0):
        raise SetupError("the model takes uint8 pixels: leave --range at 0:255")
    try:
        return Preprocessing.model_validate(
            {
                "height": shape[1],
                "width": shape[2],
                "crop": options.crop,
                "resample": options.resample,
                "range": (low, high),
                "datatype": "UINT8" if dtype == "uint8" else "FP32",
            }
        )
    except (ValidationError, IndexError) as error:
        raise ModelError(f"the model's input {shape} with these options cannot be fed with pictures") from error


def _read_labels(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"cannot read the labels {path}: {error}") from error


def _check_version(version: str) -> None:
    if not version.isdigit() or version.startswith("0"):
        raise SetupError(f"--version must be a whole number from 1 up, not {version!r}")
