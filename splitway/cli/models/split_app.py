"""`splitway split`: its options and its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from splitway.cli.console import Json, Out, Steps, emit, tensorflow_hushed
from splitway.cli.models.options import (
    AllowLegacy,
    CustomObjects,
    Force,
    Model,
    Samples,
    Size,
    Version,
    parse_range,
    reading,
)
from splitway.names import DEFAULT_HEAD


def split(
    context: typer.Context,
    model: Model,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER[,LAYER...]",
            help="Layers after which to cut, one less than stages; by default the best one, as inspect ranks them.",
        ),
    ] = None,
    out: Out = Path("models"),
    labels: Annotated[
        Path | None, typer.Option(help="Text file with one label per line, in the model's order.")
    ] = None,
    pixel_range: Annotated[
        str, typer.Option("--range", help="The model's own values for pixels 0 and 255, as LOW:HIGH.")
    ] = "0:255",
    crop: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of the centred window to keep.")] = 1.0,
    resample: Annotated[Literal["bilinear", "bicubic", "box"], typer.Option(help="Filter of the resize.")] = "bilinear",
    samples: Samples = None,
    version: Version = "1",
    head: Annotated[str, typer.Option(help="Name of the last bundle.")] = DEFAULT_HEAD,
    force: Force = False,
    allow_legacy: AllowLegacy = False,
    custom_objects: CustomObjects = None,
    size: Size = "224x224",
    as_json: Json = False,
) -> None:
    """Cut a functional Keras model after one layer or several, prove the cuts and write a bundle for each stage.

    A model with one RGB picture as input is served with pictures: crop, resize and --range become part of the feature
    space. Any other model takes its own tensors. TensorFlow serves a stage that LiteRT cannot run, or not as exactly.

    Examples: splitway split flowers.keras --labels flowers.txt --range=-1:1; splitway split unet.keras --at mid,up_2
    """
    with tensorflow_hushed(), Steps() as steps:
        from splitway.api.splitting import SplitOptions, split_model
        from splitway.cli.models.build import report

        layers = tuple(name.strip() for name in at.split(",")) if at else ()
        pixels, source = parse_range(pixel_range), reading(context, allow_legacy, custom_objects, size)
        options = SplitOptions(
            out, layers, labels, pixels, crop, resample, samples, version, head, force=force, source=source
        )
        emit(as_json, report(out, split_model(model, options, steps.say)))
