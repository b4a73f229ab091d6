"""Split and prove models of each family in keras.applications, at the best cut and in the middle of a skip connection.

    python -m benchmarks.architectures [NAME...] [--out docs/architectures.md]

Weights are random (seeded): what is proved is the cut, not the classes. Bundles lie in a temporary folder, and go.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from testkit.machine import about

FAMILIES = {
    "plain": ["VGG16"],
    "residual": ["ResNet50", "ResNet50V2"],
    "dense": ["DenseNet121"],
    "inception": ["InceptionV3"],
    "separable": ["Xception"],
    "mobile": ["MobileNet", "MobileNetV2", "MobileNetV3Small", "NASNetMobile"],
    "squeeze-excite": ["EfficientNetB0", "EfficientNetV2B0"],
    "convnext": ["ConvNeXtTiny"],
}
_COLUMNS = (
    "family",
    "model",
    "parameters",
    "cut after",
    "tensors",
    "bytes per row",
    "max ULP",
    "max difference",
    "engine",
)
_LIMIT_S = 900


def cuts_of(name: str) -> list[str]:
    """The best cut, and the one with several tensors that is nearest to half of the work."""
    from splitway.splitter.cuts import best_cut, find_cuts

    cuts = find_cuts(_model(name).graph)
    several = [cut for cut in cuts if cut.why_not is None and len(cut.tensors) > 1]
    middle = min(several, key=lambda cut: abs(cut.flops_before - 0.5), default=None)
    return [best_cut(cuts).layer, *([middle.layer] if middle is not None else [])]


def _model(name: str) -> Any:
    import keras

    from splitway.splitter.readers.loaded import of_keras

    keras.utils.set_random_seed(1)
    return of_keras(getattr(keras.applications, name)(weights=None), name.lower())


def prove(name: str, layer: str) -> dict[str, Any]:
    """Split a model after a layer and return what its manifest says."""
    from splitway.api.splitting import SplitOptions, split
    from splitway.manifest import Preprocessing

    model = _model(name)
    (wire,) = model.graph.inputs.values()
    height, width, _ = wire.shape
    pixels = Preprocessing(
        height=height or 0, width=width or 0, crop=1, resample="bilinear", range=(0, 255), datatype="FP32"
    )
    with tempfile.TemporaryDirectory(prefix="splitway-") as folder:
        options = SplitOptions(Path(folder), (layer,))
        extractor = split(model, options, pixels, lambda said: print(f"  {said}", file=sys.stderr))[0]
    proof = extractor.proof
    assert proof is not None, "split proves"
    return {
        "model": name,
        "parameters": sum(step.parameters for step in model.graph.steps),
        "layer": layer,
        "tensors": max(1, len(extractor.cut.tensors)),
        "bytes_per_row": extractor.cut.bytes_per_row,
        "max_ulp": None if proof.against_same_engine is None else proof.against_same_engine.max_ulp,
        "max_abs": proof.against_uncut.max_abs,
        "engine": proof.engine,
    }


def _in_a_process_of_its_own(*arguments: str) -> Any:
    """Run a step where its memory ends with it."""
    command = [sys.executable, "-m", "benchmarks.architectures", "--step", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=_LIMIT_S, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": arguments}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown page."""
    lines = [
        "# Architectures that were split and proved",
        "",
        "Models of each family of `keras.applications` with random weights, 224x224 (299x299 for InceptionV3 and",
        "Xception), cut where `splitway inspect` ranks it best, and in the middle of a skip connection, where several",
        "tensors cross. *max ULP*: the pieces against the uncut model in the same engine, over all probabilities;",
        "*max difference*: against Keras.",
        "",
        "`make bench WHAT=architectures`, {date}, {machine}".format_map(about()),
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
    ]
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['family']} | {' '.join(row['failed'])}: **failed** |" + " |" * (len(_COLUMNS) - 2))
            continue
        size, ulp = f"{row['parameters'] / 1e6:.1f} M", row["max_ulp"]
        cells = [row["family"], row["model"], size, f"`{row['layer']}`", row["tensors"], f"{row['bytes_per_row']:,}"]
        cells += ["not comparable" if ulp is None else ulp, f"{row['max_abs']:.1e}", row["engine"]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run one step, or all of them and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of keras.applications; all below if none is named")
    parser.add_argument("--out", type=Path, default=Path("docs/architectures.md"))
    parser.add_argument("--step", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(cuts_of(*arguments.names) if len(arguments.names) == 1 else prove(*arguments.names)))
        return
    rows: list[dict[str, Any]] = []
    for family, name in ((family, name) for family, names in FAMILIES.items() for name in names):
        if arguments.names and name not in arguments.names:
            continue
        cuts = _in_a_process_of_its_own(name)
        for layer in cuts if isinstance(cuts, list) else [name]:
            print(f"{name} at {layer}", file=sys.stderr, flush=True)
            rows.append({"family": family, **_in_a_process_of_its_own(name, layer)})
            arguments.out.write_text(table(rows), encoding="utf-8")
    sys.exit(any("failed" in row for row in rows))


if __name__ == "__main__":
    main()
