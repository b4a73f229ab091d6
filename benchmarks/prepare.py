"""What the measurements need once: the uncut model in the serving engine, and a trivial pair of stages.

`python -m benchmarks.prepare`: writes .peers/uncut and .peers/trivial. Needs TensorFlow; the measurements don't.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".peers"
UNCUT = PEERS / "uncut"
TRIVIAL = PEERS / "trivial"
TRIVIAL_FEATURES = 2560
"""10 KB a row."""


def uncut() -> None:
    """Convert the whole default model as the bundles are converted."""
    from splitway.bundle import read_manifest
    from splitway.names import PIXELS, PROBABILITIES
    from splitway.splitter.export import export_engines
    from splitway.splitter.graph import Part
    from splitway.splitter.readers.source import load_model

    models = ROOT / "models"
    source = models / read_manifest(models / "feature_extractor" / "1").source_model.path
    UNCUT.mkdir(parents=True)
    graph = load_model(source).graph
    (pixels,), (probabilities,) = graph.inputs.values(), graph.outputs.values()
    whole = Part({PIXELS: pixels}, tuple(graph.steps), {PROBABILITIES: probabilities})
    export_engines(whole, UNCUT, ("litert", "tensorflow"))


def trivial() -> None:
    """Make and cut a model that costs next to nothing, so that only the framework counts."""
    import keras

    pixels = keras.Input((8, 8, 3), dtype="uint8", name="pixels")
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(pixels))
    features = keras.layers.Dense(TRIVIAL_FEATURES, activation="relu", name="features")(mean)
    model = keras.Model(pixels, keras.layers.Dense(10, activation="softmax")(features))
    file = PEERS / "trivial.keras"
    model.save(file)
    command = [sys.executable, "-m", "splitway.cli.main", "split", str(file), "--at", "features", "--out", str(TRIVIAL)]
    subprocess.run(command, check=True, cwd=ROOT)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    PEERS.mkdir(exist_ok=True)
    if not UNCUT.is_dir():
        uncut()
    if not TRIVIAL.is_dir():
        trivial()
