"""`splitway build`, `split` and `verify`, from options to bundles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from splitway.api import splitting as bundles
from splitway.api.accuracy import in_words
from splitway.api.given import check_version
from splitway.api.source import SourceOptions
from splitway.cli.console import OUT
from splitway.cli.models.bundles import check_every, content_of
from splitway.manifest import Manifest, Proof
from splitway.names import PROBABILITIES
from splitway.splitter import default_model
from splitway.splitter.pack import Say
from splitway.splitter.readers.loaded import of_keras
from splitway.wire.room import MAX_ROWS

_APPENDED = {"softmax": "a softmax", "sigmoid": "a sigmoid", "two_classes": "1-p and p of the one number p"}


def build(out: Path, samples: Path | None, version: str, *, fetch_only: bool, say: Say) -> Mapping[str, object]:
    """Make the default bundles; return what is said of them, for programs."""
    check_version(version)
    cache = default_model.cache_folder()
    say("fetching labels")
    labels = default_model.load_default_labels(cache)
    say("fetching weights (about 17 MB)")
    model = default_model.load_default_model(cache)
    if fetch_only:
        OUT.print(f"weights and labels are in {cache}")
        return {"made": False, "cache": cache}
    at = (default_model.CUT_LAYER,)
    options = bundles.SplitOptions(out, at, labels, samples=samples, version=version, force=True)
    loaded = of_keras(model, default_model.NAME)
    return {"made": True, **report(out, bundles.split(loaded, options, default_model.PREPROCESSING, say))}


def verify(
    models: Path, samples: Path | None, version: str | None, allowed: SourceOptions, *, say: Say
) -> Mapping[str, object]:
    """Check every bundle, with a line for each, and prove the extractor, the bodies and the head split with them again.

    Returns what is said of them, for programs.

    Raises:
        BundleError: a bundle is damaged, and nothing is proved; or as `bundles.verify` raises.
    """
    checked = check_every(models, version)
    return {"checked": checked, **report(models, bundles.verify(models, samples, version, say, allowed), samples)}


def report(models: Path, stages: list[Manifest], samples: Path | None = None) -> Mapping[str, object]:
    """Say what was made and how well it is proved; return the same, with the whole manifests, for programs.

    `samples` are those that the user named.
    """
    proof = stages[0].proof
    assert proof is not None, "what is reported has been proved"
    found, same = proof.against_uncut, proof.against_same_engine
    OUT.print(" and ".join(f"{models}/{stage.name}/{stage.version}" for stage in stages), markup=False)
    for stage in stages[:-1]:
        cut = stage.cut if stage.role == "extractor" else stages[stages.index(stage) + 1].cut
        tensors = f" in {len(cut.tensors)} tensors" if len(cut.tensors) > 1 else ""
        OUT.print(f"  feature space  {stage.gives}")
        OUT.print(f"  cut            after {cut.layer}, {cut.bytes_per_row} bytes per row{tensors}", markup=False)
    fits = min((s.rows.per_request for s in stages if s.rows and s.rows.per_request is not None), default=None)
    if fits is not None and fits < MAX_ROWS:
        OUT.print(f"  rows           {fits} fit into one request, by the largest of its tensors")
    OUT.print(
        f"  proof          {proof.inputs} inputs in batches of {', '.join(map(str, proof.batch_sizes))}: at most "
        f"{found.max_abs:.2g} from the whole model in Keras ({proof.tolerance:.2g} allowed)"
        + (", same class first" if found.top1_equal else "")
    )
    if same is not None:
        differs = f"at most {same.max_abs:.2g} from the" if same.max_ulp else "bit for bit the same as the"
        OUT.print(f"                 {differs} whole model in {proof.engine}, the engine that serves")
    _report_accuracy(stages, proof, samples)
    elsewhere = [stage.name for stage in stages if stage.engine == "tensorflow"]
    if elsewhere:
        OUT.print(f"  engine         TensorFlow for {', '.join(elsewhere)}: LiteRT cannot run it, or not as exactly")
    if PROBABILITIES not in {entry.name for entry in stages[-1].outputs}:
        named = ", ".join(entry.name for entry in stages[-1].outputs)
        OUT.print(f"  outputs        {named}: no probabilities of classes; ask /v2/models/pipeline, not /v1/classify")
    elif stages[0].preprocessing is None:
        takes = ", ".join(entry.name for entry in stages[0].inputs)
        OUT.print(f"  inputs         {takes}: no picture; ask /v2/models/pipeline, not /v1/classify")
    return content_of(models, stages)


def _report_accuracy(stages: list[Manifest], proof: Proof, samples: Path | None) -> None:
    """Say how often the pictures of a folder got their own label, or that no proof tells of it."""
    head = stages[-1]
    if head.appended:
        OUT.print(
            f"  head           {' and '.join(_APPENDED[each] for each in head.appended)} behind the model's last layer"
        )
    if head.threshold is not None:
        OUT.print(f"  labels         every one from a probability of {head.threshold:g} on: several can be right")
    if proof.accuracy is not None:
        first, second = in_words(proof.accuracy)
        OUT.print(f"  accuracy       {first};", markup=False)
        OUT.print(f"                 {second}", markup=False)
    elif stages[0].preprocessing is not None and PROBABILITIES in {entry.name for entry in head.outputs}:
        OUT.print(
            "  accuracy       not measured: a proof does not say whether pictures reach the model as in training;"
        )
        how = "--samples FOLDER with a folder of pictures for each label measures it"
        none = f"{samples} has no folder of pictures for each label, by which it is measured"
        OUT.print(f"                 {how if samples is None else none}", markup=False)
